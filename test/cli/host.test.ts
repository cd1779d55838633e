/**
 * Whatever a host hands in, and whatever a model's file throws: what comes out is a result or a WeftError.
 */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { pathToFileURL } from "node:url"
import { runInNewContext } from "node:vm"
import fc from "fast-check"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import { load, loadProgram } from "../../cli/node.js"
import { compile } from "../../compiler/index.js"
import { WeftError } from "../../runtime/errors.js"
import { runs, seed } from "../laws/settings.js"
import { root } from "../support/goldens.js"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-host-"))
  const compilerOptions = {
    strict: true,
    module: "nodenext",
    target: "es2023",
    types: [],
    paths: { weft: [`${root}dsl/index.ts`] },
  }
  writeFileSync(join(folder, "tsconfig.json"), JSON.stringify({ compilerOptions }))
  writeFileSync(join(folder, "package.json"), '{ "type": "module" }')
})
afterAll(() => rmSync(folder, { recursive: true }))

/** The code of the error; fails when what is thrown is anything else. */
async function codeOf(run: () => Promise<unknown>): Promise<string | undefined> {
  try {
    await run()
    return undefined
  } catch (error) {
    expect(error).toBeInstanceOf(WeftError)
    expect((error as WeftError).code).not.toMatch(/unforeseen/)
    return (error as WeftError).code
  }
}

const deep = (levels: number): unknown => (levels === 0 ? 1 : { a: deep(levels - 1) })
const round: Record<string, unknown> = {}
round.round = round

const odd = fc.oneof(
  fc.constantFrom<unknown>(
    null,
    undefined,
    1n,
    Symbol("s"),
    Number.NaN,
    Number.POSITIVE_INFINITY,
    -0,
    "",
    "\0",
    "no/such/file.ts",
    new URL("file:///no/such/file.ts"),
    new URL("http://localhost/model.ts"),
    () => 1,
    new Map(),
    new Uint8Array(3),
    Object.create(null),
    runInNewContext("[1, 2]"),
    runInNewContext("({ model_type: 'x' })"),
    deep(5000),
    round,
    {
      get model_type() {
        throw new RangeError("no")
      },
    },
  ),
  fc.anything({ withBigInt: true, withTypedArray: true, withNullPrototype: true, maxDepth: 2 }),
)

const one = (name: string) => fc.record({ [name]: odd })
const options = fc.oneof(
  odd,
  ...[
    "device",
    "threads",
    "precision",
    "chunk",
    "context",
    "memory",
    "tuned",
    "model",
    "cache",
    "checkpoint",
    "onProgress",
  ].map(one),
)
const compileOptions = fc.oneof(
  odd,
  ...["tensors", "chunk", "context", "adapter", "precision", "tuned", "onWarning"].map(one),
)

describe("random values at the entries of the package", () => {
  const none = (): string => join(folder, "none.ts")
  const entries: Readonly<Record<string, fc.IAsyncPropertyWithHooks<[unknown, unknown]>>> = {
    "compile: file and config": fc.asyncProperty(odd, odd, async (file, config) => {
      expect(await codeOf(() => compile(file as string, config as never, "wasm"))).toBeDefined()
    }),
    "compile: target and options": fc.asyncProperty(odd, compileOptions, async (target, given) => {
      expect(await codeOf(() => compile(none(), {}, target as never, given as never))).toBeDefined()
      expect(await codeOf(() => compile(none(), {}, "wasm", given as never))).toBeDefined()
    }),
    load: fc.asyncProperty(odd, options, async (source, given) => {
      expect(await codeOf(() => load(source as string, given as never))).toBeDefined()
      expect(await codeOf(() => load(join(folder, "none"), given as never))).toBeDefined()
    }),
    loadProgram: fc.asyncProperty(odd, options, async (source, given) => {
      const device = { device: "wasm", threads: 1, cache: false } as const
      expect(await codeOf(() => loadProgram(source as string, device))).toBeDefined()
      // Getters are handed on as such: reading one here could throw.
      const both =
        typeof given === "object" && given !== null
          ? Object.defineProperties({ ...device }, Object.getOwnPropertyDescriptors(given))
          : given
      // What a device is chosen by comes before the file: `auto` would look for an adapter each time.
      fc.pre(typeof both === "object" && both !== null && "device" in both)
      expect(await codeOf(() => loadProgram(none(), both as never))).toBeDefined()
    }),
  }
  test.each(Object.entries(entries))("law: %s", async (_, property) => {
    await fc.assert(property, {
      numRuns: runs(60),
      seed,
      endOnFailure: true,
    })
  })

  test("a URL names a file; a config may be another realm's, and is none for a program", async () => {
    const file = join(folder, "by-url.ts")
    writeFileSync(
      file,
      `import { defineProgram, input, map, upTo } from "weft"
export const program = defineProgram({
  inputs: { x: input({ n: upTo(4) }) },
  outputs: { y: ["n"] },
  run: ({ x }) => ({ y: map((v) => v * 3, x) }),
})\n`,
    )
    using program = await loadProgram(pathToFileURL(file), { device: "wasm", threads: 1, cache: false })
    expect((await program.run({ x: Float32Array.of(2) })).y!.data[0]).toBe(6)
    expect((await compile(file, runInNewContext("({})"), "wasm")).target).toBe("wasm")
    const foreign = runInNewContext("({ list: [1, [2]], eos: null })")
    await expect(compile(file, foreign, "wasm")).rejects.toThrow("is a program, which has no config")
  })
})

test.each([
  ["null", "throw null", "model/failed"],
  ["a text", 'throw "no"', "model/failed"],
  ["what has no text", "throw Object.create(null)", "model/failed"],
  ["what fails to become a text", 'throw { toString() { throw new Error("again") } }', "model/failed"],
  [
    "an error whose message and stack are none",
    'throw Object.assign(new Error("x"), { stack: 3, message: undefined })',
    "model/failed",
  ],
  ["a rejection", "await Promise.reject(undefined)", "model/failed"],
  ["nothing, and exports nothing", "export {}", "compile/model"],
  ["when it is configured", "export const model = { configure() { throw 7 } }", "model/failed"],
  [
    "a schema's error without issues",
    "export const model = { configure() { return (undefined as any).x } }",
    "model/failed",
  ],
  [
    "issues made by hand",
    'export const model = { configure() { throw Object.assign(new Error(""), { issues: [null, { path: [Symbol("a")], message: 3 }] }) } }',
    "compile/config",
  ],
  ["nothing, and exports a program that is none", "export const program = { entries: [null] }", "compile/model"],
])("a model that throws %s", async (_, text, code) => {
  const file = join(folder, "throws.ts")
  writeFileSync(file, `export {}\n${text}\n`)
  try {
    await compile(file, {}, "wasm")
    throw new Error("compiled")
  } catch (error) {
    expect(error).toBeInstanceOf(WeftError)
    expect((error as WeftError).code).toBe(code)
    expect((error as WeftError).message).toBeTypeOf("string")
  }
})
