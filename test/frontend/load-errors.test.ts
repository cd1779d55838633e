import { join } from "node:path"
import { inspect } from "node:util"
import { beforeEach, expect, test } from "vitest"
import { loadModel } from "../../compiler/frontend/load.js"
import type { ProjectOptions } from "../../compiler/frontend/project.js"
import type { WeftError } from "../../runtime/errors.js"
import { compilerOptions, languageRoots, temporaryProject } from "./cases.js"

beforeEach(() => process.chdir(import.meta.dirname))

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

const imports = 'import { dot, input, map } from "./language/index.js"\n'

test("TypeScript's own", async () => {
  const error = await errorOfText(`${imports}const x = input("seq", "embed")\nexport const y = dot(x, x, "dim")\n`)
  expect(error.code).toBe("model/type-error")
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
  expect(two.mistakes.map(({ span }) => span?.line)).toEqual([1, 2])
  // As Node prints what nobody has caught: each mistake once.
  expect(inspect(two, { customInspect: false, depth: 5 }).match(/TS2322/g)).toHaveLength(2)
  expect(inspect(two.mistakes[0], { customInspect: false, depth: 5 }).match(/TS2322/g)).toHaveLength(1)
  expect(JSON.parse(JSON.stringify(two.mistakes[0]))).toMatchObject({ code: "model/type-error", span: { line: 1 } })
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
  expect(error.code).toBe("scalar/function")
  expect(error.message).toBe(
    'model.ts:4:11 - a scalar function cannot contain `==`\n\n4 |  (v) => v == 0 ? 1 : v, input("a"))\n              ~~\n\nhint: use `===` or `!==`',
  )
})

test("no file", async () => {
  expect(await errorOf("fixtures/none.ts")).toMatchObject({
    code: "model/missing",
    message: "there is no file fixtures/none.ts",
  })
  expect((await errorOf("fixtures")).message).toBe("there is no file fixtures")
})

test("no TypeScript", async () => {
  expect(await errorOf("fixtures/tiny/tsconfig.json")).toMatchObject({
    code: "model/not-typescript",
    message:
      "fixtures/tiny/tsconfig.json is not a TypeScript file\nhint: a model is compiled from its source; name the `.ts` file",
  })
})

test("a tsconfig that is named and is not there", async () => {
  process.chdir(temporaryProject({ "model.ts": "export {}\n" }))
  expect(await errorOf("model.ts", { tsconfig: "other.json" })).toMatchObject({
    code: "tsconfig/missing",
    message: "there is no file other.json",
  })
})

test("a broken tsconfig", async () => {
  const folder = temporaryProject({
    "model.ts": "export {}\n",
    "tsconfig.json": '{\n  "compilerOptions": { "module": "nodenxt" }\n}',
  })
  process.chdir(folder)
  const error = await errorOf("model.ts")
  expect(error.code).toBe("tsconfig/invalid")
  expect(error.message).toMatch(/^(tsconfig\.json:2:34 - )?TS6046: Argument for '--module' option must be: /)
})

test("a package that is not installed", async () => {
  const text = '// @ts-expect-error there are no types\nimport { z } from "absent-package"\nexport const y = z\n'
  const error = await errorOfText(text)
  expect(error.code).toBe("model/bundle-failed")
  expect(error.message).toMatch(/^model\.ts:2:1\d - Could not resolve "absent-package"\n/)
})

test("a file that the bundler cannot find", async () => {
  process.chdir(
    temporaryProject({
      "model.ts": 'import { n } from "./only.js"\nexport const y = n\n',
      "only.d.ts": "export declare const n: number\n",
    }),
  )
  const error = await errorOf("model.ts")
  expect(error.code).toBe("model/bundle-failed")
  expect(error.message).toBe(
    'model.ts:1:19 - Could not resolve "./only.js"\n\n1 | import { n } from "./only.js"\n                      ~~~~~~~~~~~',
  )
})

test("a model that throws while it is imported", async () => {
  const error = await errorOfText(
    'import { map } from "./language/index.js"\nexport const f = (v: number) => v, g = map\nthrow new Error("too early")\n',
  )
  expect(error.code).toBe("model/failed")
  expect(error.message).toBe(
    'model.ts:3:7 - model.ts cannot be imported: too early\n\n3 | throw new Error("too early")\n          ~',
  )
  expect((error.cause as Error).stack).not.toContain("data:")
})

test.each([
  ["of a URL", 'await import(String("file://HERE/other.tsx"))'],
  ["of a relative name", 'await import(String("./other.js"))'],
  ["of a package", 'await import(String("absent-package"))'],
])("an import that only Node could follow says how it is followed: %s", async (_, text) => {
  const other = temporaryProject({ "other.tsx": "export const n = 1\n" })
  const error = await errorOfText(`${text.replace("HERE", other)}\nexport const y = 1\n`)
  expect(error.code).toBe("model/failed")
  expect(error.hint).toContain('by a literal, import("./other.ts")')
})
