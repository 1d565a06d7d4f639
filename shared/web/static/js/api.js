// Calls of our own API: JSON both ways, the CSRF token from the page, problem details as an error.

/** What the API refused. `status` 0 means that no answer came at all. */
export class ApiError extends Error {
  constructor(problem, { retryAfter = null } = {}) {
    super(problem.detail ?? problem.title ?? "The request failed.");
    this.name = "ApiError";
    this.status = problem.status ?? 0;
    this.code = problem.code ?? "unknown";
    this.errors = problem.errors ?? [];
    this.requestId = problem.request_id ?? null;
    this.retryAfter = retryAfter;
  }
}

/**
 * Calls `/api/v1/<path>` and returns the JSON of the answer, or null where it has no body.
 *
 *   await api("views?algorithm=ema-cross")
 *   await api("alerts", { method: "POST", body: { algorithm, ticker, channels: ["live"] } })
 *
 * Throws ApiError. `signal` aborts; an abort is thrown as it is.
 */
export async function api(path, { method = "GET", body, signal, document = globalThis.document } = {}) {
  const base = new URL("/api/v1/", document.baseURI);
  const url = new URL(path, base);
  if (url.origin !== base.origin || !url.pathname.startsWith(base.pathname)) {
    throw new TypeError("api() calls /api/v1/ of this site only");
  }
  const headers = { Accept: "application/json" };
  if (method !== "GET") headers["X-CSRFToken"] = csrfToken(document);
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let response;
  try {
    response = await fetch(url.href, {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      credentials: "same-origin",
      redirect: "error",
      signal,
    });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError({ code: "no_answer", detail: "We could not reach Boritrader. Please check your connection." });
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  throw new ApiError(await problemOf(response), { retryAfter: secondsOf(response.headers.get("Retry-After")) });
}

/** All items of a list, following its cursors. */
export async function* items(path, options = {}) {
  let cursor = null;
  do {
    const separator = path.includes("?") ? "&" : "?";
    const page = await api(cursor === null ? path : `${path}${separator}cursor=${encodeURIComponent(cursor)}`, options);
    yield* page.items;
    cursor = page.next;
  } while (cursor !== null);
}

export function csrfToken(document = globalThis.document) {
  return document.querySelector('meta[name="csrf-token"]')?.content ?? "";
}

async function problemOf(response) {
  const fallback = { status: response.status, title: response.statusText || `Error ${response.status}` };
  if (!response.headers.get("Content-Type")?.includes("json")) return fallback;
  try {
    return { ...fallback, ...(await response.json()) };
  } catch {
    return fallback;
  }
}

function secondsOf(text) {
  const seconds = Number.parseInt(text ?? "", 10);
  return Number.isNaN(seconds) ? null : seconds;
}
