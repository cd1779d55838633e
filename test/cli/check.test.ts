/** weft check: what compiling would report, as tsc prints it. */
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises"
import { join, relative } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { errorText, errorTexts } from "../../cli/check.js"
import { WeftError } from "../../runtime/errors.js"
import { root } from "../support/goldens.js"
import { weft, weftHere } from "./run.js"

const program = (body: string) => `import { add, defineProgram, dot, input, map } from "../../dsl/index.js"

export const program = defineProgram({
  inputs: { a: input({ i: 4, k: 8 }) },
  outputs: { c: ["i", "k"] },
  run: ({ a }) => ({ c: ${body} }),
})
`
const right = program("map((x) => x * 2, a)")

let folder: string
let name: (file: string) => string
beforeAll(async () => {
  // Inside of the package, whose own modules it imports.
  await mkdir(join(root, ".weft"), { recursive: true })
  folder = await mkdtemp(join(root, ".weft", "check-"))
  name = (file) => relative(root, join(folder, file))
  await writeFile(join(folder, "right.ts"), right)
  await writeFile(join(folder, "axis.ts"), program('add(a, dot(a, a, "q"))'))
  await writeFile(join(folder, "traced.ts"), program("a as unknown as typeof a").replace('["i", "k"]', '["i", "m"]'))
  await writeFile(join(folder, "scalar.ts"), program("map((x) => Math.random() * x, map((x) => Math.clz32(x), a))"))
})
afterAll(() => rm(folder, { recursive: true }))

test("what is right is passed in silence", async () => {
  expect(await errorTexts([name("right.ts"), "examples/stencil.ts"], {}, false)).toEqual([])
})

test("every error of every file, of types, scalar functions and what is traced", async () => {
  const errors = await errorTexts(["right.ts", "axis.ts", "scalar.ts", "traced.ts"].map(name), {}, false)
  expect(errors[0]).toMatch(/^\.weft\/check-\w+\/axis\.ts\(6,\d+\): error TS2345: Argument of type '"q"'/)
  expect(errors.filter((text) => text.includes("scalar.ts(6,"))).toHaveLength(2)
  expect(errors.at(-1)).toMatch(/traced\.ts/)
  expect(errors).toHaveLength(4)
})

test("in a terminal with the line and a caret, and their number", async () => {
  const { code, stdout } = await weftHere(["check", name("axis.ts")], { terminal: true })
  expect(code).toBe(1)
  expect(stdout).toMatch(/axis\.ts:6:\d+ - error TS2345: .*\n\n6 \| .*dot\(a, a, "q"\).*\n +~~~\n\nFound 1 error\.\n$/s)
})

test("an expression that is nested too deeply is told so", async () => {
  await writeFile(join(folder, "deep.ts"), program(`map((x) => ${"(".repeat(3000)}x${" + 1)".repeat(3000)}, a)`))
  expect(await errorTexts([name("deep.ts")], {}, false)).toEqual([expect.stringMatching(/^error compile\/too-deep: /)])
})

test("a model is traced with its config", async () => {
  expect(await errorTexts(["models/qwen3.ts"], {}, false)).toEqual([])
  expect(await errorTexts(["models/qwen3.ts"], { checkpoint: "models/tales" }, false)).toEqual([])
  const config = join(folder, "config.json")
  await writeFile(config, JSON.stringify({ model_type: "qwen3", hidden_act: "gelu" }))
  const errors = await errorTexts(["models/qwen3.ts"], { config }, false)
  expect(errors).toEqual([expect.stringMatching(/error compile\/config: the config asks for/)])
})

test("exit code 1 when there are errors, which are on standard output", async () => {
  const { code, stdout, stderr } = await weftHere(["check", name("axis.ts")])
  expect({ code, stderr }).toEqual({ code: 1, stderr: "" })
  expect(stdout).toMatch(/error TS2345/)
})

test("--watch checks again when a file has changed, until it is interrupted", async () => {
  const file = join(folder, "watched.ts")
  await writeFile(file, program("map((x) => Math.clz32(x), a)"))
  const { code, stdout } = await weft(["check", "--watch", name("watched.ts")], (child) => {
    let said = ""
    child.stdout!.on("data", (text: string) => {
      const before = said
      said += text
      const came = (part: string) => !before.includes(part) && said.includes(part)
      if (came("Found 1 error. Watching")) void writeFile(file, right)
      if (came("Found 0 errors. Watching")) child.kill("SIGINT")
    })
  })
  expect(code).toBe(130)
  expect(stdout).toMatch(/error scalar\/function: .*Found 1 error.*File change detected.*Found 0 errors/s)
})

describe("the text of an error", () => {
  const span = { file: "a.ts", line: 3, column: 5, length: 2, text: "    xy" }

  test("with a place", () => {
    const error = new WeftError("area/what", "it is wrong", { span, hint: "mend it" })
    expect(errorText(error, false)).toBe("a.ts(3,5): error area/what: it is wrong\n  hint: mend it\n")
    expect(errorText(error, true)).toBe(
      "a.ts:3:5 - error area/what: it is wrong\n\n3 |     xy\n        ~~\n\nhint: mend it\n\n",
    )
  })

  test("without one", () => {
    const error = new WeftError("area/what", "it is wrong")
    expect(errorText(error, false)).toBe("error area/what: it is wrong\n")
    expect(errorText(error, true)).toBe("error area/what: it is wrong\n\n")
  })
})
