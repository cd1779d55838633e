/** A user's tsconfig: what changes types or meaning counts, what is deprecated works, and matters of style are not the compiler's. */
import { rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { loadModel } from "../../compiler/frontend/load.js"
import type { WeftError } from "../../runtime/errors.js"
import { compilerOptions, languageRoots, temporaryProject } from "./cases.js"

/** What the model gives as `value`, or the first line of the error. */
async function valueIn(files: Readonly<Record<string, string>>, tsconfig: object, file = "model.ts"): Promise<unknown> {
  const folder = temporaryProject(files, tsconfig)
  try {
    return (await loadModel(join(folder, file), { languageRoots })).module.value
  } catch (error) {
    return `${(error as WeftError).code}: ${(error as WeftError).reason.split("\n")[0]}`
  } finally {
    rmSync(folder, { recursive: true })
  }
}

const importing = 'import { k } from "@/k"\nexport const value = k\n'
const k = "export const k = 3\n"
const paths = { "@/*": ["lib/*"] }
const bundler = {
  strict: true,
  module: "esnext",
  moduleResolution: "bundler",
  target: "es2022",
  lib: ["es2022"],
  types: [],
}

describe("what is deprecated works", () => {
  test.each([
    ["baseUrl", { ...bundler, baseUrl: ".", paths }],
    ["baseUrl without paths", { ...bundler, baseUrl: "lib", paths: { "@/*": ["*"] } }],
    ["moduleResolution node", { ...bundler, moduleResolution: "node", paths: { "@/*": ["./lib/*"] } }],
    [
      "moduleResolution node10 and a target of long ago",
      { ...bundler, moduleResolution: "node10", target: "es5", paths: { "@/*": ["./lib/*"] } },
    ],
    [
      "what was removed",
      {
        ...bundler,
        importsNotUsedAsValues: "remove",
        preserveValueImports: false,
        charset: "utf8",
        paths: { "@/*": ["./lib/*"] },
      },
    ],
    [
      "esModuleInterop false",
      {
        ...bundler,
        esModuleInterop: false,
        alwaysStrict: false,
        downlevelIteration: true,
        paths: { "@/*": ["./lib/*"] },
      },
    ],
    ["the silence that another version asks for", { ...bundler, ignoreDeprecations: "5.0", baseUrl: ".", paths }],
    ["an option that this version does not know", { ...bundler, someLaterOption: true, paths: { "@/*": ["./lib/*"] } }],
  ])("%s", async (_, options) => {
    expect(await valueIn({ "model.ts": importing, "lib/k.ts": k }, { compilerOptions: options })).toBe(3)
  })
})

test("matters of style and of what is emitted are no errors", async () => {
  const text = `import { map } from "./language/index.js"
import { k } from "./k.js"
export { map }
export enum Mode { A, B }
const unused = 1
export class Base { run(): number { return k } }
export class Derived extends Base { run(): number { return k; return 2 } }
export function f(x: number, unusedParameter: number) { if (x > 0) return 1 }
export function g(x: number): number { switch (x) { case 0: x = 1; case 1: return x } return 0 }
const record: Record<string, number> = { a: 1 }
export const value = record.a
`
  const style = {
    noUnusedLocals: true,
    noUnusedParameters: true,
    noImplicitReturns: true,
    noImplicitOverride: true,
    noFallthroughCasesInSwitch: true,
    noPropertyAccessFromIndexSignature: true,
    allowUnreachableCode: false,
    allowUnusedLabels: false,
    erasableSyntaxOnly: true,
  }
  const emitted = {
    composite: true,
    declaration: true,
    declarationMap: true,
    emitDeclarationOnly: true,
    isolatedDeclarations: true,
    outDir: "out",
    rootDir: "elsewhere",
    sourceMap: true,
    tsBuildInfoFile: "out/info",
  }
  const options = { compilerOptions: { ...compilerOptions, ...style, ...emitted } }
  expect(await valueIn({ "model.ts": text, "k.ts": k }, options)).toBe(1)
})

test("what changes types is an error still", async () => {
  const text = "const record: Record<string, number> = { a: 1 }\nexport const value: number = record.a\n"
  expect(await valueIn({ "model.ts": text }, { compilerOptions })).toBe(1)
  const options = { compilerOptions: { ...compilerOptions, noUncheckedIndexedAccess: true } }
  expect(await valueIn({ "model.ts": text }, options)).toMatch(/^model\/type-error: TS2322/)
  expect(await valueIn({ "model.ts": "" }, { compilerOptions: { module: "nodenxt" } })).toMatch(
    /^tsconfig\/invalid: TS6046/,
  )
  expect(await valueIn({ "model.ts": "" }, { extends: "./none.json" })).toMatch(/^tsconfig\/invalid: TS/)
})

test("a tsconfig that refers to others: the one that lists the file counts, with what it extends", async () => {
  const files = {
    "src/model.ts": importing,
    "src/lib/k.ts": k,
    "base.json": JSON.stringify({ compilerOptions: { ...bundler, paths: { "@/*": ["./src/lib/*"] } } }),
    "tsconfig.node.json": JSON.stringify({
      compilerOptions: { ...bundler, composite: true },
      include: ["vite.config.ts"],
    }),
    "tsconfig.app.json": JSON.stringify({
      extends: "./base.json",
      compilerOptions: { composite: true },
      include: ["src"],
    }),
  }
  const references = [{ path: "./none" }, { path: "./tsconfig.node.json" }, { path: "./tsconfig.app.json" }]
  expect(await valueIn(files, { files: [], references }, "src/model.ts")).toBe(3)
  const deeper = {
    ...files,
    "all/tsconfig.json": JSON.stringify({ files: [], references: [{ path: "../tsconfig.app.json" }, { path: ".." }] }),
  }
  expect(await valueIn(deeper, { files: [], references: [{ path: "./all" }] }, "src/model.ts")).toBe(3)
})

test("a jsconfig, and none at all", async () => {
  const files = { "model.ts": 'import { k } from "./lib/k"\nexport const value: number = k\n', "lib/k.ts": k }
  const folder = temporaryProject(files)
  rmSync(join(folder, "tsconfig.json"))
  expect((await loadModel(join(folder, "model.ts"))).module.value).toBe(3)
  writeFileSync(join(folder, "model.ts"), "export const f = (x) => x\n")
  await expect(loadModel(join(folder, "model.ts"))).rejects.toMatchObject({ code: "model/type-error" })
  writeFileSync(
    join(folder, "jsconfig.json"),
    JSON.stringify({ compilerOptions: { ...bundler, paths: { "@/*": ["./lib/*"] } } }),
  )
  writeFileSync(join(folder, "model.ts"), importing)
  expect((await loadModel(join(folder, "model.ts"))).module.value).toBe(3)
  rmSync(folder, { recursive: true })
})

test("the defaults of the TypeScript that is installed: before 6, a model is strict when it is asked to be", async () => {
  const { strict: _, ...lax } = compilerOptions
  const model = { "model.ts": "export const f = (x) => x\nexport const value = f(1)\n" }
  const installed = (version: string) => ({ "node_modules/typescript/package.json": JSON.stringify({ version }) })
  expect(await valueIn({ ...model, ...installed("5.9.3") }, { compilerOptions: lax })).toBe(1)
  expect(await valueIn({ ...model, ...installed("6.0.2") }, { compilerOptions: lax })).toMatch(
    /^model\/type-error: TS7006/,
  )
})

test("declarations that are installed and not listed are there", async () => {
  const { types: _, ...options } = compilerOptions
  const files = {
    "model.ts": "export const value: number = typeof HOST_NUMBER === 'number' ? HOST_NUMBER : 4\n",
    "node_modules/@types/host/package.json": JSON.stringify({
      name: "@types/host",
      version: "1.0.0",
      types: "index.d.ts",
    }),
    "node_modules/@types/host/index.d.ts": "declare const HOST_NUMBER: number\n",
  }
  expect(await valueIn(files, { compilerOptions: options })).toBe(4)
})

test("a package is read as the file that imports it is a module of ECMAScript or of CommonJS", async () => {
  const manifest = { name: "two", version: "1.0.0", exports: { import: "./e.mjs", require: "./c.cjs" } }
  const files = {
    "node_modules/two/package.json": JSON.stringify(manifest),
    "node_modules/two/e.mjs": "export const a = 1\n",
    "node_modules/two/e.d.mts": "export declare const a: 1\n",
    "node_modules/two/c.cjs": "exports.a = 2\n",
    "node_modules/two/c.d.cts": "export declare const a: 2\n",
    "model.ts": 'import { a } from "two"\nexport const value: 1 = a\nexport const here: object = import.meta\n',
    "common.cts": 'import two = require("two")\nexport const value: 2 = two.a\n',
  }
  expect(await valueIn(files, { compilerOptions })).toBe(1)
  expect(await valueIn(files, { compilerOptions }, "common.cts")).toBe(2)
})
