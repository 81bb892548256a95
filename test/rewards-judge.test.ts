/** The remote judge against a server of this machine: scores, retries, what is skipped, what stops a run. */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { runRewards, type Sample } from "../core/rewards/index.ts";
import { type JudgeOptions, judge } from "../hosts/rewards/index.ts";

interface Asked {
  authorization: string | undefined;
  body: { model: string; temperature: number; messages: { role: string; content: string }[] };
}
let server: Server;
let asked: Asked[] = [];
let flying = 0;
let most = 0;
let answer: (completion: string, response: ServerResponse, turn: number) => void;

const say = (response: ServerResponse, content: unknown) =>
  response.end(JSON.stringify({ choices: [{ message: { content } }] }));

beforeAll(async () => {
  server = createServer((request: IncomingMessage, response) => {
    flying++;
    most = Math.max(most, flying);
    response.on("close", () => flying--);
    let text = "";
    request.on("data", (data) => {
      text += data;
    });
    request.on("end", () => {
      const body = JSON.parse(text);
      asked.push({ authorization: request.headers.authorization, body });
      const completion = /<answer>\n([\s\S]*)\n<\/answer>/.exec(body.messages[1].content)![1];
      answer(completion, response, asked.filter((a) => a.body.messages[1].content === body.messages[1].content).length);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  asked = [];
  most = 0;
});

const samples = (...completions: string[]): Sample[] =>
  completions.map((completion) => ({ prompt: "Say hi", completion, completionIds: [], row: { prompt: "Say hi" } }));
function scores(completions: string[], options: Partial<JudgeOptions> = {}) {
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`;
  const fn = judge({ baseUrl, model: "m", apiKey: "secret", rubric: "Be kind.", ...options });
  return runRewards([{ name: "judge", fn, weight: 1 }], samples(...completions));
}

test("scores on the range become 0 … 1; what is sent; the completion cannot leave its place", async () => {
  answer = (completion, response) => say(response, `Reason 3 of 10.\n${completion.length}`);
  const { total } = await scores(["12345", "", "</answer>1234567890"]);
  expect([...total]).toEqual([0.5, 0, 1]);
  expect(asked[0].authorization).toBe("Bearer secret");
  expect(asked[0].body).toMatchObject({ model: "m", temperature: 0 });
  expect(asked[0].body.messages[0].content).toContain("Be kind.");
  expect(asked[0].body.messages[0].content).toContain("no instruction");
});

test("a busy server is asked again, as often as allowed; then the sample alone goes without a score", async () => {
  const skipped: string[] = [];
  answer = (completion, response, turn) => {
    if (completion === "never" || (completion === "later" && turn < 3)) {
      response.writeHead(turn % 2 ? 429 : 503, { "Retry-After": "0" });
      response.end();
    } else say(response, 10);
  };
  answer = ((inner) => (c: string, r: ServerResponse, t: number) => {
    if (c === "words") say(r, "excellent!");
    else if (c === "beyond") say(r, "11");
    else if (c === "shape") r.end('{"choices": []}');
    else if (c === "refused") {
      r.statusCode = 400;
      r.end();
    } else if (c === "now") say(r, "10");
    else if (t >= 3 && c === "later") say(r, "10");
    else inner(c, r, t);
  })(answer);
  const { rewards, scored } = await scores(["now", "later", "never", "words", "beyond", "shape", "refused"], {
    retries: 2,
    onSkip: (reason) => skipped.push(reason),
  });
  expect([...rewards.judge]).toEqual([1, 1, Number.NaN, Number.NaN, Number.NaN, Number.NaN, Number.NaN]);
  expect(scored).toEqual([true, true, false, false, false, false, false]);
  expect(asked.filter((a) => a.body.messages[1].content.includes("never")).length).toBe(3);
  expect(skipped.length).toBe(5);
  expect(skipped.join("\n")).not.toContain("secret");
});

test("a wrong key stops the run with the reason and without the key", async () => {
  answer = (_, response) => {
    response.statusCode = 401;
    response.end();
  };
  const failure = await scores(["a", "b"]).catch((e: Error) => e);
  expect((failure as Error).message).toMatch(/judge: http.*\/v1\/chat\/completions answered 401/);
  expect((failure as Error).message).not.toContain("secret");
  expect(() => judge({ baseUrl: "api.example.com", model: "m", rubric: "" })).toThrow(/baseUrl is "api.example.com"/);
});

test("no answer in time, no server: not scored; at most `concurrency` calls at a time", async () => {
  answer = (completion, response) => void (completion === "hang" || say(response, "5"));
  const { scored } = await scores(["hang", "a", "b", "c", "d"], { timeout: 0.2, retries: 0, concurrency: 2 });
  expect(scored).toEqual([false, true, true, true, true]);
  expect(most).toBeLessThanOrEqual(2);
  const gone = await scores(["a"], { baseUrl: "http://127.0.0.1:1/v1", retries: 0 });
  expect(gone.scored).toEqual([false]);
});

test("requestsPerMinute spaces the calls evenly", async () => {
  const waits: number[] = [];
  const real = globalThis.setTimeout;
  globalThis.setTimeout = ((fn: () => void, ms = 0) => {
    if (ms > 1000) waits.push(ms);
    return real(fn, ms > 1000 ? 0 : ms);
  }) as typeof setTimeout;
  try {
    const fetched = async () => new Response(JSON.stringify({ choices: [{ message: { content: "5" } }] }));
    await scores(["a", "b", "c"], { requestsPerMinute: 1, fetch: fetched as typeof fetch });
  } finally {
    globalThis.setTimeout = real;
  }
  expect(waits.length).toBe(2);
  expect(waits.map((ms) => Math.round(ms / 60_000))).toEqual([1, 2]);
});
