/** What a model may return for its states and its logits: mistakes that types do not see are told, never computed. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { beforeAll, describe, expect, test } from "vitest"
import { loadModel } from "../../compiler/frontend/load.js"
import { compile } from "../../compiler/index.js"
import { withTable } from "../../compiler/ir/expression.js"
import { traceModel } from "../../compiler/trace/programs.js"
import type { Model } from "../../dsl/index.js"
import type * as Models from "./states-models.js"

let models: typeof Models
beforeAll(async () => {
  models = (await loadModel("test/dsl/states-models.ts")).module as typeof Models
})

/** The names of the model's states that one entry changes. */
function changed(model: Model, entry: string, bound = 4): readonly string[] {
  return withTable(() => {
    const { entries } = traceModel(model.configure({}), { bounds: [bound], storage: () => "bf16" }, [entry])
    return entries[0]!.updates.map(({ state }) => state.name).filter((name) => name.startsWith("states.past."))
  })
}

describe.each(["inline", "repeated"] as const)("states, %s", (form) => {
  const states = (name: string) => changed(models[form][name]!, "prefill")
  const all = ["states.past.a.k", "states.past.a.v", "states.past.b.k", "states.past.b.v"]

  test("appended to", () => expect(states("appended")).toEqual(all))
  test("in another order of names", () => expect(states("otherOrder")).toEqual(all))
  test("some left as they were", () => expect(states("leftAsItWas")).toEqual(["states.past.a.k", "states.past.b.k"]))

  test.each([
    ["crossed", "'past.a.k' is returned as something that is not this state"],
    ["computed", "'past.a.k' is returned as something that is not this state"],
    ["twice", "'past.a.k' is written twice"],
    ["missing", "'past.a.v' is missing in what the model returns"],
  ])("%s is refused", (name, message) => expect(() => states(name)).toThrow(message))
})

test("a state that is appended to and returned as it was", () => {
  expect(() => changed(models.stale, "prefill")).toThrow("'past.k' is written, but returned as it was")
})

test.each([
  ["assigned", "a state that keeps the last of 'key' is appended to along it, and not assigned"],
  ["across", "a state that keeps the last of 'key' is appended to along it, and not assigned"],
  ["doubled", "a state that keeps 2 of 'key' has memory for 11, and 18 more may be appended at once"],
])("a state that keeps its last rows, %s, is refused", (name, message) => {
  expect(() => changed(models.keptRows[name]!, "prefill", 9)).toThrow(message)
})

test("a model that throws while it is traced is told with its line", async () => {
  await expect(compile("test/dsl/states-models.ts", {}, "wasm")).rejects.toMatchObject({
    code: "model/failed",
    message: expect.stringMatching(
      /^test\/dsl\/states-models\.ts:\d+:\d+ - the model failed: not today\n\n\d+ \| {5}throw new Error\("not today"\)/,
    ),
  })
})

test("a number that is none is told at its line in the model's file", async () => {
  await expect(compile("test/dsl/states-models.ts", { heads: 3 }, "wasm")).rejects.toMatchObject({
    code: "model/definition",
    message: expect.stringMatching(
      /^test\/dsl\/states-models\.ts:\d+:\d+ - weight\("table"\): axis "embed" has extent 1\.3.*\n\n\d+ \| .*weight\("table"/,
    ),
  })
})

test("a call of the language while the file is imported is told at its line, with what to do", async () => {
  const file = join(mkdtempSync(join("test", "dsl", "early-")), "early.ts")
  writeFileSync(file, 'import { literal } from "../../../dsl/index.js"\nexport const one = literal(1)\n')
  try {
    await expect(compile(file, {}, "wasm")).rejects.toMatchObject({
      code: "trace/outside",
      span: { line: 2, column: 20 },
      hint: "models are compiled, not called: use load() or compile()",
    })
  } finally {
    rmSync(dirname(file), { recursive: true })
  }
})

test("logits that do not follow the tokens", () => {
  expect(() => changed(models.deaf, "logits")).toThrow("'logits' has extent 3 along 'seq', and 'tokens' has seq")
})
