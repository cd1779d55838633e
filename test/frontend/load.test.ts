import { readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { beforeEach, describe, expect, test } from "vitest"
import { transformFiles } from "../../compiler/frontend/files.js"
import { type LoadedModel, loadModel } from "../../compiler/frontend/load.js"
import { scalarAttachment, withTracing } from "../../dsl/attach.js"
import type { Tracing } from "../../dsl/tracing.js"
import { compilerOptions, languageRoots, printed, temporaryProject } from "./cases.js"
import type { Recorded } from "./fixtures/language/index.js"

const here = dirname(fileURLToPath(import.meta.url))
beforeEach(() => process.chdir(here))

/** Calls an export of a loaded model while a trace runs. */
function traced(model: LoadedModel, name: string, ...args: readonly unknown[]): Recorded {
  const run = model.module[name] as (...args: readonly unknown[]) => Recorded
  return withTracing({ spans: [] } as unknown as Tracing, () => run(...args))
}

describe("a model of several files", async () => {
  process.chdir(here)
  const options = { languageRoots: ["../language"] }
  const model = await loadModel("fixtures/tiny/tiny.ts", options)
  const config = { eps: 0.25, gated: true }
  const block = traced(model, "block", {}, {}, config)
  const gate = block.args[0] as Recorded

  test("calls carry the places of the source, outermost first", () => {
    expect(block.spans).toEqual([
      { file: "tiny.ts", line: 19, column: 10, length: 12, text: "  return softer(gate)" },
      {
        file: "../language/index.ts",
        line: 47,
        column: 10,
        length: 28,
        text: "  return map((v: number) => v / 2, x) as Tensor<A>",
        library: true,
      },
    ])
    expect((gate.args[0] as Recorded).spans).toEqual([
      { file: "tiny.ts", line: 14, column: 17, length: 18, text: ' const hidden = dot(x, w, "embed")' },
    ])
  })

  test("scalar functions carry their expression and read what they capture", () => {
    const attachment = gate.attachment
    if (attachment?.kind !== "function") throw new Error("not lowered")
    expect([...attachment.locals, attachment.result].map(printed)).toEqual([
      "(+ (call curve $0) {config.eps})",
      "(select {config.gated} (call curves.clamp %0 6) %0)",
    ])
    const captures = attachment.captures()
    expect(captures["config.eps"]).toBe(0.25)
    expect(captures["config.gated"]).toBe(true)
    const curve = scalarAttachment(captures.curve)
    expect(curve?.kind === "function" && [printed(curve.result), curve.captures()]).toEqual([
      "(* $0 {slope})",
      { slope: 0.5 },
    ])
    expect(scalarAttachment(captures["curves.clamp"])).toMatchObject({
      kind: "function",
      span: { file: "curves.ts", line: 8, column: 22 },
    })
  })

  test("the sources are there, the bundle names no folder of this machine", () => {
    expect(model.files.map(({ path }) => path).sort()).toEqual(
      expect.arrayContaining(["../language/index.ts", "curves.ts", "tiny.ts"]),
    )
    expect(model.files.find(({ path }) => path === "tiny.ts")?.text).toBe(readFileSync("fixtures/tiny/tiny.ts", "utf8"))
    expect(model.bundle).not.toContain(here)
    expect(model.bundle).not.toContain("sourceMappingURL")
    expect(model.folder).toBe(join(here, "fixtures", "tiny"))
  })

  test("an error of the model's own code is found at its line and column", () => {
    const fails = model.module.fails as (x: unknown, limit: number) => unknown
    let error: unknown
    try {
      fails({}, 4)
    } catch (caught) {
      error = caught
    }
    expect((error as Error).message).toContain("outside of a compilation")
    try {
      traced(model, "fails", {}, 4)
    } catch (caught) {
      error = caught
    }
    expect((error as Error).message).toBe("4")
    expect(model.placeOf(error)).toEqual({
      file: "fixtures/tiny/tiny.ts",
      line: 23,
      column: 62,
      text: "  const doubled = map((v) => v * 2, x); if (limit > 3) throw new RangeError(limit.toString())",
    })
    expect(model.placeOf(new Error("elsewhere"))).toBeUndefined()
  })

  test("the same text gives the same bundle and is run anew; nothing is written", async () => {
    const before = readdirSync("fixtures/tiny")
    const again = await loadModel("fixtures/tiny/tiny.ts", options)
    expect(again.bundle).toBe(model.bundle)
    expect(again.module).not.toBe(model.module)
    expect(readdirSync("fixtures/tiny")).toEqual(before)
  })
})

describe("where things lie", () => {
  const index = 'export { dot, input, map, withTracing } from "./language/index.js"\n'
  const packageFiles = {
    "node_modules/weft/package.json": JSON.stringify({
      name: "weft",
      type: "module",
      main: "./index.js",
      types: "./index.d.ts",
      exports: { ".": { types: "./index.d.ts", default: "./index.js" }, "./internal/attach": "./attach.js" },
    }),
    "node_modules/weft/index.d.ts":
      "export interface Tensor<A extends string> { readonly axes: (a: A) => A }\nexport declare function map<A extends string>(fn: (v: number) => number, x: Tensor<A>): Tensor<A>\n",
    "node_modules/weft/index.js": "export const map = (fn) => fn.attachment\n",
    "node_modules/weft/attach.js":
      "export const __scalar = (fn, attachment) => Object.assign(fn, { attachment })\nexport const __at = (span, call) => ({ span, value: call() })\n",
  }

  const old = { ...compilerOptions, module: "esnext", moduleResolution: "node10", ignoreDeprecations: "6.0" }
  test.each([
    ["as packages are found today", compilerOptions],
    ["as they were found before they had exports", old],
  ])("the language from an installed package, %s", async (_, compilerOptions) => {
    const folder = temporaryProject(
      {
        ...packageFiles,
        "deep/model.ts":
          'import { map, type Tensor } from "weft"\nimport { z } from "./more.js"\nexport const run = (x: Tensor<"a">) => map((v) => v * z, x)\n',
        "deep/more.ts": "export const z = 2, twice = (v: number) => v + v\n",
      },
      { compilerOptions },
    )
    const model = await loadModel(join(folder, "deep", "model.ts"))
    expect(model.bundle).not.toMatch(/^import /m)
    const run = model.module.run as (x: unknown) => { span: object; value: object }
    expect(run({})).toMatchObject({ span: { file: "deep/model.ts", line: 3, column: 40 }, value: { kind: "function" } })
  })

  test("the language from sources, by the tsconfig's paths", async () => {
    const folder = temporaryProject(
      {
        "sources/index.ts": `${packageFiles["node_modules/weft/index.d.ts"].split("\n")[0]}
export function map<A extends string>(fn: (v: number) => number, _x: Tensor<A>): Tensor<A> {
  return (fn as unknown as { attachment: Tensor<A> }).attachment
}\n`,
        "sources/attach.ts": `export const __scalar = (fn: object, attachment: object) => Object.assign(fn, { attachment })
export function __at<T>(span: object, call: () => T) { return { span, value: call() } }\n`,
        "deep/model.ts":
          'import { map, type Tensor } from "weft"\nexport const run = (x: Tensor<"a">) => map((v) => v * 2, x)\n',
      },
      { compilerOptions: { ...compilerOptions, paths: { weft: ["./sources/index.ts"] } } },
    )
    const { module } = await loadModel(join(folder, "deep", "model.ts"))
    const run = module.run as (x: unknown) => { span: object; value: object }
    expect(run({})).toMatchObject({ span: { file: "deep/model.ts", line: 2, column: 40 }, value: { kind: "function" } })
  })

  test("the language's sources are transformed again when they have changed", async () => {
    const text =
      'import { softer, type Tensor } from "./language/index.js"\nexport const run = (x: Tensor<"a">) => softer(x)\n'
    const folder = temporaryProject({ "model.ts": text, "other.ts": text })
    const halved = async (file: string) =>
      /__scalar\w*\(\(v\) => v \/ (\d+)/.exec((await loadModel(join(folder, file), { languageRoots })).bundle)
    expect((await halved("model.ts"))?.[1]).toBe("2")
    expect((await halved("other.ts"))?.[1]).toBe("2")
    const language = join(folder, "language", "index.ts")
    writeFileSync(language, readFileSync(language, "utf8").replace("v / 2", "v / 8"))
    expect((await halved("model.ts"))?.[1]).toBe("8")
  })

  test.each([
    ["the default library", {}],
    ["a list of libraries", { lib: ["es2023", "dom"] }],
  ])("a model that uses the platform: %s", async (_, extra) => {
    const { lib: _lib, ...rest } = compilerOptions
    const folder = temporaryProject(
      { "model.ts": 'export const at: string = new URL("/a", "http://weft").pathname\n' },
      { compilerOptions: { ...rest, ...extra } },
    )
    expect((await loadModel(join(folder, "model.ts"), { languageRoots })).module.at).toBe("/a")
    writeFileSync(join(folder, "wrong.ts"), "export const size: string = new URL(import.meta.url).port.length\n")
    await expect(loadModel(join(folder, "wrong.ts"), { languageRoots })).rejects.toMatchObject({
      code: "model/type-error",
    })
  })

  test("a model beside declarations that name the platform", async () => {
    const folder = temporaryProject(
      { "globals.d.ts": "declare const place: URL\n", "wrong.ts": "export const size: string = place.port.length\n" },
      { compilerOptions: { ...compilerOptions, lib: ["es2023", "dom"] }, include: ["globals.d.ts"] },
    )
    await expect(loadModel(join(folder, "wrong.ts"), { languageRoots })).rejects.toMatchObject({
      code: "model/type-error",
    })
  })

  test("a project that is itself an installed package", async () => {
    const folder = temporaryProject({
      "node_modules/house/tsconfig.json": JSON.stringify({
        compilerOptions: { ...compilerOptions, types: ["absent"] },
      }),
      "node_modules/house/models/one.ts":
        'import { map, type Tensor } from "weft"\nimport { by } from "./two.js"\nexport const run = (x: Tensor<"a">) => map((v) => by(v), x)\n',
      "node_modules/house/models/two.ts": "export const by = (v: number) => v * 2\n",
      ...packageFiles,
    })
    const model = await loadModel(join(folder, "node_modules/house/models/one.ts"))
    expect(model.files.map(({ path }) => path)).toEqual(["models/two.ts", "models/one.ts"])
    expect(model.bundle).toContain('"captures": () => ({ "by": by })')
  })

  test("a function of a package without an attachment is left to the tracer", async () => {
    const folder = temporaryProject({
      ...packageFiles,
      "node_modules/other/package.json": JSON.stringify({
        name: "other",
        type: "module",
        exports: { types: "./o.d.ts", default: "./o.js" },
      }),
      "node_modules/other/o.d.ts": "export declare function gain(v: number): number\n",
      "node_modules/other/o.js": "export const gain = (v) => v\n",
      "model.ts":
        'import { map, type Tensor } from "weft"\nimport { gain } from "other"\nexport const run = (x: Tensor<"a">) => map((v) => gain(v), x)\n',
    })
    const model = await loadModel(join(folder, "model.ts"))
    const run = model.module.run as (x: unknown) => { value: { captures: () => { gain: unknown } } }
    const { gain } = run({}).value.captures()
    expect(gain).toBeTypeOf("function")
    expect(scalarAttachment(gain)).toBeUndefined()
  })

  test("paths, json and globals as the tsconfig has them", async () => {
    const folder = temporaryProject(
      {
        "model.ts": `import { slope } from "@/lib/slope.js"\nimport data from "./data.json" with { type: "json" }\nexport const value = slope * data.by\nexport const wide = (v: number): number => v * WIDTH\n`,
        "src/lib/slope.ts": "export const slope = 3\n",
        "data.json": '{ "by": 2 }',
        "globals.d.ts": "declare const WIDTH: number\n",
        "unrelated.ts": "this is no TypeScript at all\n",
      },
      { compilerOptions: { ...compilerOptions, resolveJsonModule: true, paths: { "@/*": ["./src/*"] } } },
    )
    const model = await loadModel(join(folder, "model.ts"), { languageRoots })
    expect(model.module.value).toBe(6)
  })

  test("transformFiles gives the text of files", () => {
    const folder = temporaryProject({
      "lib/one.ts": `${index}export const f = (v: number) => v * 2 // no __scalar\n`.replace("./l", "../l"),
    })
    const path = join(folder, "lib/one.ts")
    expect(transformFiles([path], { languageRoots }).get(path)?.text).toContain("__scalar1((v: number) => v * 2, {")
  })
})
