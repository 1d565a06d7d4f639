// The switch beside the chart: an alert by mail on this algorithm and ticker, made and deleted through the API.
import { api, items } from "@shared/api.js";

export class AlertSwitch {
  #root;
  #button;
  #note;
  #pair;
  #alert = null;
  #onAll = null;
  #document;

  constructor(document) {
    this.#document = document;
    this.#root = document.querySelector("[data-alert-switch]");
    this.#button = this.#root.querySelector("button");
    this.#note = this.#root.querySelector("[role=status]");
    const { ticker, algorithm } = document.querySelector("[data-ticker-page]").dataset;
    this.#pair = { algorithm, ticker };
  }

  /** Looks whether there is an alert already, and shows the switch. */
  async start() {
    try {
      for await (const alert of items("alerts", { document: this.#document })) {
        if (alert.algorithm !== this.#pair.algorithm) continue;
        if (alert.ticker === this.#pair.ticker) this.#alert = alert;
        if (alert.ticker === null) this.#onAll = alert;
      }
    } catch {
      return; // alerts can't be reached: better no switch than one that lies
    }
    this.#button.addEventListener("click", () => this.toggle());
    this.#show();
    this.#root.hidden = false;
  }

  async toggle() {
    if (this.#button.disabled) return;
    this.#button.disabled = true;
    try {
      if (byMail(this.#alert)) await this.#delete();
      else await this.#ask();
      this.#show();
    } catch (error) {
      this.#note.textContent = error.message;
    } finally {
      this.#button.disabled = false;
    }
  }

  /** An alert whose mails were stopped is asked for again; what it has of other channels stays. */
  async #ask() {
    const channels = [...(this.#alert?.channels ?? []), "mail"];
    const body = { ...this.#pair, channels };
    this.#alert = await api("alerts", { method: "POST", body, document: this.#document });
  }

  async #delete() {
    await api(`alerts/${encodeURIComponent(this.#alert.id)}`, { method: "DELETE", document: this.#document });
    this.#alert = null;
  }

  #show() {
    const on = byMail(this.#alert);
    const covered = !on && byMail(this.#onAll);
    this.#button.textContent = on ? "Stop the alert" : "Alert me";
    this.#button.classList.toggle("button--quiet", on);
    this.#button.hidden = covered;
    if (on) this.#note.textContent = "You get a mail when this view turns.";
    else if (covered) this.#note.textContent = "Your alert on all tickers of this algorithm covers it.";
    else if (this.#alert) this.#note.textContent = "Mail is off for your alert on this.";
    else if (this.#onAll) this.#note.textContent = "Mail is off for your alert on all tickers of this algorithm.";
    else this.#note.textContent = "";
  }
}

/** Whether an alert sends mails; after its owner has unsubscribed it stays, without a channel. */
function byMail(alert) {
  return alert?.channels.includes("mail") ?? false;
}
