import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { beforeEach, describe, expect, test } from "vitest"
import { type LoadedModel, loadModel } from "../../compiler/frontend/load.js"
import { frontendPlugin, transformFiles } from "../../compiler/frontend/plugin.js"
import type { ProjectOptions } from "../../compiler/frontend/project.js"
import { scalarAttachment, withTracing } from "../../dsl/attach.js"
import type { Tracing } from "../../dsl/tracing.js"
import type { WeftError } from "../../runtime/errors.js"
import { compilerOptions, languageRoots, printed, temporaryProject } from "./cases.js"
import type { Recorded } from "./fixtures/language/index.js"

const here = dirname(fileURLToPath(import.meta.url))
beforeEach(() => process.chdir(here))

/** Calls an export of a loaded model while a trace runs. */
function traced(model: LoadedModel, name: string, ...args: readonly unknown[]): Recorded {
  const run = model.module[name] as (...args: readonly unknown[]) => Recorded
  return withTracing({ spans: [] } as unknown as Tracing, () => run(...args))
}

async function errorOf(file: string, options: ProjectOptions = { languageRoots }): Promise<WeftError> {
  const loaded = loadModel(file, options)
  return loaded.then(
    () => Promise.reject(new Error("the model was loaded")),
    (error: WeftError) => error,
  )
}

/** The error of a one-file model in a project of its own, with that project as working directory. */
async function errorOfText(text: string, tsconfig?: object): Promise<WeftError> {
  process.chdir(temporaryProject({ "model.ts": text }, tsconfig))
  return errorOf("model.ts")
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

  test("the same text is the same module, and lies in .weft, ignored by git", async () => {
    const again = await loadModel("fixtures/tiny/tiny.ts", options)
    expect(again.module).toBe(model.module)
    expect(again.bundle).toBe(model.bundle)
    expect(readFileSync("fixtures/tiny/.weft/.gitignore", "utf8")).toBe("*\n")
    expect(
      readdirSync("fixtures/tiny/.weft").every((name) => /^(\.gitignore|tiny-[0-9a-f]{16}\.mjs)$/.test(name)),
    ).toBe(true)
  })
})

describe("where things lie", () => {
  const index = 'export { __at, __scalar, dot, input, map, withTracing } from "./language/index.js"\n'
  const packageFiles = {
    "node_modules/weft/package.json": JSON.stringify({
      name: "weft",
      type: "module",
      exports: { types: "./index.d.ts", default: "./index.js" },
    }),
    "node_modules/weft/index.d.ts":
      "export interface Tensor<A extends string> { readonly axes: (a: A) => A }\nexport declare function map<A extends string>(fn: (v: number) => number, x: Tensor<A>): Tensor<A>\n",
    "node_modules/weft/index.js":
      "export const __scalar = (fn, attachment) => Object.assign(fn, { attachment })\nexport const __at = (span, call) => ({ span, value: call() })\nexport const map = (fn) => fn.attachment\n",
  }

  test("the language from an installed package, which stays outside the bundle", async () => {
    const folder = temporaryProject({
      ...packageFiles,
      "deep/model.ts":
        'import { map, type Tensor } from "weft"\nimport { z } from "./more.js"\nexport const run = (x: Tensor<"a">) => map((v) => v * z, x)\n',
      "deep/more.ts": "export const z = 2, twice = (v: number) => v + v\n",
    })
    const model = await loadModel(join(folder, "deep", "model.ts"))
    expect(model.bundle).toContain('from "weft"')
    const run = model.module.run as (x: unknown) => { span: object; value: object }
    expect(run({})).toMatchObject({ span: { file: "deep/model.ts", line: 3, column: 40 }, value: { kind: "function" } })
  })

  test("a project that is itself an installed package", async () => {
    const folder = temporaryProject({
      "node_modules/house/tsconfig.json": JSON.stringify({ compilerOptions }),
      "node_modules/house/models/one.ts":
        'import { map, type Tensor } from "weft"\nimport { by } from "./two.js"\nexport const run = (x: Tensor<"a">) => map((v) => by(v), x)\n',
      "node_modules/house/models/two.ts": "export const by = (v: number) => v * 2\n",
      ...packageFiles,
    })
    const model = await loadModel(join(folder, "node_modules/house/models/one.ts"))
    expect(model.files.map(({ path }) => path)).toEqual(["models/two.ts", "models/one.ts"])
    expect(model.bundle).toContain('"captures": () => ({ "by": by })'.replace(": ()", ": ()"))
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

  test("transformFiles and the plugin give the text of files", () => {
    const folder = temporaryProject({
      "lib/one.ts": `${index}export const f = (v: number) => v * 2\n`.replace("./l", "../l"),
    })
    const path = join(folder, "lib/one.ts")
    expect(transformFiles([path], { languageRoots }).get(path)?.text).toContain("__scalar1((v: number) => v * 2, {")
    const plugin = frontendPlugin({ include: [join(folder, "lib")], languageRoots })
    expect(plugin.transform(readFileSync(path, "utf8"), path)?.code).toContain("__scalar1((v: number)")
    const changed = `${readFileSync(path, "utf8")}export const g = (v: number) => v * 3\n`
    writeFileSync(path, changed)
    expect(plugin.transform(changed, path)?.code).toContain("__scalar1((v: number) => v * 3")
    expect(plugin.transform("", join(folder, "language/index.ts"))).toBeUndefined()
  })
})

describe("errors", () => {
  const imports = 'import { dot, input, map } from "./language/index.js"\n'

  test("TypeScript's own", async () => {
    const error = await errorOfText(`${imports}const x = input("seq", "embed")\nexport const y = dot(x, x, "dim")\n`)
    expect(error.code).toBe("type-error")
    expect(error.message).toBe(
      `model.ts:3:28 - TS2345: Argument of type '"dim"' is not assignable to parameter of type '"seq" | "embed"'.

3 | export const y = dot(x, x, "dim")
                               ~~~~~`,
    )
    expect(error.span).toMatchObject({ file: "model.ts", line: 3, column: 28, length: 5 })
  })

  test("syntax", async () => {
    const error = await errorOfText("export const y = (1 +)\n")
    expect(error.message).toBe(
      "model.ts:1:22 - TS1109: Expression expected.\n\n1 | export const y = (1 +)\n                         ~",
    )
  })

  test("in a file that the model imports", async () => {
    process.chdir(
      temporaryProject({
        "model.ts": 'export * from "./parts/one.js"\n',
        "parts/one.ts": 'export const n: number = "1"\n',
      }),
    )
    expect((await errorOf("model.ts")).message).toBe(
      `parts/one.ts:1:14 - TS2322: Type 'string' is not assignable to type 'number'.

1 | export const n: number = "1"
                 ~`,
    )
  })

  test("several, and the first ten of many", async () => {
    const two = await errorOfText('export const a: number = ""\nexport const b: string = 1\n')
    expect(two.message).toBe(
      `model.ts:1:14 - TS2322: Type 'string' is not assignable to type 'number'.

1 | export const a: number = ""
                 ~

model.ts:2:14 - TS2322: Type 'number' is not assignable to type 'string'.

2 | export const b: string = 1
                 ~`,
    )
    expect((two.cause as AggregateError).errors.map(({ span }: WeftError) => span?.line)).toEqual([1, 2])
    const many = await errorOfText(Array.from({ length: 13 }, (_, n) => `export const n${n}: string = 1\n`).join(""))
    expect(many.message.match(/TS2322/g)).toHaveLength(10)
    expect(many.message.endsWith("\n\n… and 3 more")).toBe(true)
  })

  test("the tsconfig decides: without strict, without an error", async () => {
    const text = "export const f = (x) => x\n"
    expect((await errorOfText(text)).message).toBe(
      "model.ts:1:19 - TS7006: Parameter 'x' implicitly has an 'any' type.\n\n1 | export const f = (x) => x\n                      ~",
    )
    const folder = temporaryProject({ "model.ts": text }, { compilerOptions: { ...compilerOptions, strict: false } })
    expect((await loadModel(join(folder, "model.ts"))).module.f).toBeTypeOf("function")
  })

  test("a scalar function handed to the language", async () => {
    const error = await errorOfText(`${imports}\nexport const y = () => map(\n\t(v) => v == 0 ? 1 : v, input("a"))\n`)
    expect(error.code).toBe("scalar-function")
    expect(error.message).toBe(
      'model.ts:4:11 - a scalar function cannot contain `==`\n\n4 |  (v) => v == 0 ? 1 : v, input("a"))\n              ~~\n\nhint: use `===` or `!==`',
    )
  })

  test("no file", async () => {
    expect(await errorOf("fixtures/none.ts")).toMatchObject({
      code: "model-missing",
      message: "there is no file fixtures/none.ts",
    })
    expect((await errorOf("fixtures")).message).toBe("there is no file fixtures")
  })

  test("no TypeScript", async () => {
    expect(await errorOf("fixtures/tiny/tsconfig.json")).toMatchObject({
      code: "model-not-typescript",
      message:
        "fixtures/tiny/tsconfig.json is not a TypeScript file\nhint: a model is compiled from its source; name the `.ts` file",
    })
  })

  test("no tsconfig", async () => {
    const folder = temporaryProject({ "model.ts": "export {}\n" })
    const { rmSync } = await import("node:fs")
    rmSync(join(folder, "tsconfig.json"))
    process.chdir(folder)
    expect(await errorOf("model.ts")).toMatchObject({
      code: "tsconfig-missing",
      message: `no tsconfig.json in the folder of model.ts or above it
hint: write one; { "compilerOptions": { "strict": true, "module": "nodenext", "target": "es2023" } } is enough`,
    })
    expect((await errorOf("model.ts", { tsconfig: "other.json" })).message).toBe("there is no file other.json")
  })

  test("a broken tsconfig", async () => {
    const folder = temporaryProject({
      "model.ts": "export {}\n",
      "tsconfig.json": '{\n  "compilerOptions": { "module": "nodenxt" }\n}',
    })
    process.chdir(folder)
    const error = await errorOf("model.ts")
    expect(error.code).toBe("tsconfig-invalid")
    expect(error.message).toMatch(/^(tsconfig\.json:2:34 - )?TS6046: Argument for '--module' option must be: /)
  })

  test("a folder that cannot be written", async () => {
    process.chdir(temporaryProject({ "model.ts": "export {}\n", ".weft": "a file\n" }))
    expect(await errorOf("model.ts")).toMatchObject({
      code: "folder-not-writable",
      message: expect.stringMatching(
        /^cannot write to \.weft: E\w+: .*\nhint: the compiled model is put beside the tsconfig, where it can find the project's packages; make that folder writable$/,
      ),
    })
  })

  test("a package that is not installed, once it is run", async () => {
    const text = '// @ts-expect-error there are no types\nimport { z } from "absent-package"\nexport const y = z\n'
    const error = await errorOfText(text)
    expect(error.code).toBe("model-failed")
    expect(error.message).toMatch(/^model\.ts:2:1 - model\.ts cannot be imported: .*absent-package/)
  })

  test("a file that the bundler cannot find", async () => {
    process.chdir(
      temporaryProject({
        "model.ts": 'import { n } from "./only.js"\nexport const y = n\n',
        "only.d.ts": "export declare const n: number\n",
      }),
    )
    const error = await errorOf("model.ts")
    expect(error.code).toBe("bundle-failed")
    expect(error.message).toBe(
      'model.ts:1:19 - Could not resolve "./only.js"\n\n1 | import { n } from "./only.js"\n                      ~~~~~~~~~~~',
    )
  })

  test("a model that throws while it is imported", async () => {
    const error = await errorOfText(
      'import { map } from "./language/index.js"\nexport const f = (v: number) => v, g = map\nthrow new Error("too early")\n',
    )
    expect(error.code).toBe("model-failed")
    expect(error.message).toBe(
      'model.ts:3:7 - model.ts cannot be imported: too early\n\n3 | throw new Error("too early")\n          ~',
    )
    expect(existsSync(".weft")).toBe(true)
  })
})
