import assert from "node:assert/strict";
import { createServer } from "node:http";
import { after, before, beforeEach, describe, it } from "node:test";
import { api, ApiError, items } from "@shared/api.js";
import { openPage } from "./support/page.mjs";

describe("calls of the API", () => {
  let server;
  let page;
  let requests;
  let answer;

  before(async () => {
    server = createServer((request, response) => {
      const parts = [];
      request.on("data", (part) => parts.push(part));
      request.on("end", () => {
        requests.push({ method: request.method, url: request.url, headers: request.headers, body: Buffer.concat(parts).toString() });
        answer(request, response);
      });
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    page = openPage("", { url: `http://127.0.0.1:${server.address().port}/dashboard`, csrf: "the-token" });
  });

  after(async () => {
    page.close();
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
  });

  beforeEach(() => {
    requests = [];
    answer = (_request, response) => json(response, 200, { items: [], next: null });
  });

  function json(response, status, body, headers = {}) {
    response.writeHead(status, { "Content-Type": "application/json", ...headers });
    response.end(JSON.stringify(body));
  }

  it("reads JSON from /api/v1/, without a token", async () => {
    answer = (_request, response) => json(response, 200, { items: [1], next: null });
    assert.deepEqual(await api("views?ticker=BTCUSD"), { items: [1], next: null });
    assert.equal(requests[0].url, "/api/v1/views?ticker=BTCUSD");
    assert.equal(requests[0].headers.accept, "application/json");
    assert.equal("x-csrftoken" in requests[0].headers, false);
  });

  for (const method of ["POST", "PUT", "PATCH", "DELETE"]) {
    it(`sends the page's CSRF token with ${method}`, async () => {
      await api("alerts", { method, body: { ticker: null } });
      assert.equal(requests[0].headers["x-csrftoken"], "the-token");
      assert.equal(requests[0].headers["content-type"], "application/json");
      assert.equal(requests[0].body, '{"ticker":null}');
    });
  }

  it("returns null where there is no body", async () => {
    answer = (_request, response) => response.writeHead(204).end();
    assert.equal(await api("alerts/1", { method: "DELETE" }), null);
  });

  it("throws problem details as an error that can be shown", async () => {
    const problem = { status: 429, code: "too_many_requests", detail: "Please wait.", request_id: "r-1" };
    answer = (_request, response) =>
      json(response, 429, problem, { "Content-Type": "application/problem+json", "Retry-After": "7" });
    await assert.rejects(api("alerts", { method: "POST", body: {} }), (error) => {
      assert.ok(error instanceof ApiError);
      assert.deepEqual(
        [error.status, error.code, error.message, error.retryAfter, error.requestId],
        [429, "too_many_requests", "Please wait.", 7, "r-1"],
      );
      return true;
    });
  });

  it("makes an error of an answer that is no JSON", async () => {
    answer = (_request, response) => response.writeHead(502, { "Content-Type": "text/html" }).end("<h1>nginx</h1>");
    await assert.rejects(api("views"), (error) => error.status === 502 && !error.message.includes("nginx"));
  });

  it("says that nobody answered when nobody did", async () => {
    answer = (request) => request.socket.destroy();
    await assert.rejects(api("views"), (error) => error.status === 0 && error.code === "no_answer");
  });

  it("follows no redirect, which could lead a token elsewhere", async () => {
    answer = (_request, response) => response.writeHead(302, { Location: "/login" }).end();
    await assert.rejects(api("views"), ApiError);
    assert.equal(requests.length, 1);
  });

  it("can be aborted", async () => {
    const controller = new AbortController();
    answer = () => controller.abort();
    await assert.rejects(api("views", { signal: controller.signal }), { name: "AbortError" });
  });

  for (const path of ["https://evil.example/api/v1/x", "//evil.example/x", "/login", "../../login"]) {
    it(`refuses to call ${path}`, async () => {
      await assert.rejects(api(path), TypeError);
      assert.equal(requests.length, 0);
    });
  }

  it("walks through all pages of a list", async () => {
    answer = (request, response) =>
      request.url.includes("cursor=a%26b")
        ? json(response, 200, { items: [3], next: null })
        : json(response, 200, { items: [1, 2], next: "a&b" });
    const found = [];
    for await (const item of items("signals?ticker=BTCUSD")) found.push(item);
    assert.deepEqual(found, [1, 2, 3]);
    assert.equal(requests[1].url, "/api/v1/signals?ticker=BTCUSD&cursor=a%26b");
  });
});
