/**
 * What a model was made of: whatever is changed of it is seen without the compiler, and a load sees it, too.
 *
 * Law: a random graph of modules gives a number; after a random edit that changes the number, what was observed holds no longer. The number is
 * known from how the graph was made, and is checked against the loaded module at the beginning and at the end.
 */
import { mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { loadModel } from "../../compiler/frontend/load.js"
import { type Observed, stillHolds } from "../../compiler/frontend/observed.js"
import { outsideOf } from "../../compiler/frontend/outside.js"
import { openProject } from "../../compiler/frontend/project.js"
import { runs, seed } from "../laws/settings.js"
import { root } from "../support/goldens.js"
import { compilerOptions, temporaryProject } from "./cases.js"

interface Part {
  /** How `model.ts` comes by the number `n<i>`. */
  readonly imports: (i: number) => string
  /** The files that make it `value`. */
  readonly files: (i: number, value: number) => Readonly<Record<string, string>>
  /** Another way by which the number becomes `value`: a file that comes to be, a link that leads elsewhere. */
  readonly other?: (folder: string, i: number, value: number) => void
}

function write(folder: string, files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true })
    writeFileSync(join(folder, name), text)
  }
}

const says = (value: number) => `export const k = ${value}\n`
const typed = "export declare const k: number\n"
const manifest = (name: string) => JSON.stringify({ name, version: "1.0.0", type: "module", exports: "./i.js" })
const packaged = (folder: string, name: string, value: number) => ({
  [`${folder}/package.json`]: manifest(name),
  [`${folder}/i.js`]: says(value),
  [`${folder}/i.d.ts`]: typed,
})
function link(folder: string, name: string, to: string): void {
  const path = join(folder, "node_modules", name)
  mkdirSync(dirname(path), { recursive: true })
  rmSync(path, { force: true })
  symlinkSync(join(folder, to), path)
}

const parts: Readonly<Record<string, Part>> = {
  "a module": {
    imports: (i) => `import { k as n${i} } from "./m${i}.js"`,
    files: (i, value) => ({ [`m${i}.ts`]: says(value) }),
  },
  "behind a comment on its line": {
    imports: (i) => `/* the constants */ import { k as n${i} } from "./m${i}.js"`,
    files: (i, value) => ({ [`m${i}.ts`]: says(value) }),
  },
  "over lines, by way of another": {
    imports: (i) => `import { k as n${i} } from\n  "./by${i}.js"`,
    files: (i, value) => ({
      [`by${i}.ts`]: `export {\n  // all\n  k,\n} from "./deep/m${i}.js"\n`,
      [`deep/m${i}.ts`]: says(value),
    }),
  },
  "while it runs": {
    imports: (i) => `const { k: n${i} } = await import(\n  \`./m${i}.js\`\n)`,
    files: (i, value) => ({ [`m${i}.ts`]: says(value) }),
  },
  "required by CommonJS": {
    imports: (i) => `import { k as n${i} } from "./by${i}.cjs"`,
    files: (i, value) => ({
      [`by${i}.cts`]: `import found = require("./m${i}.cjs")\nexport const k = found.k\n`,
      [`m${i}.cts`]: says(value),
    }),
  },
  JSON: {
    imports: (i) => `import d${i} from "./m${i}.json" with { type: "json" }\nconst n${i} = d${i}.k`,
    files: (i, value) => ({ [`m${i}.json`]: JSON.stringify({ k: value }) }),
  },
  "JavaScript, beside which TypeScript comes to stand": {
    imports: (i) => `import { k as n${i} } from "./m${i}.js"`,
    files: (i, value) => ({ [`m${i}.js`]: says(value), [`m${i}.d.ts`]: typed }),
    other: (folder, i, value) => write(folder, { [`m${i}.ts`]: says(value) }),
  },
  "a path, whose first place is empty": {
    imports: (i) => `import { k as n${i} } from "@/m${i}.js"`,
    files: (i, value) => ({ [`second/m${i}.ts`]: says(value) }),
    other: (folder, i, value) => write(folder, { [`first/m${i}.ts`]: says(value) }),
  },
  "an installed package": {
    imports: (i) => `import { k as n${i} } from "p${i}"`,
    files: (i, value) => packaged(`node_modules/p${i}`, `p${i}`, value),
    other: (folder, i, value) => write(folder, packaged(`model/node_modules/p${i}`, `p${i}`, value)),
  },
  "a linked package": {
    imports: (i) => `import { k as n${i} } from "l${i}"`,
    files: (i, value) => packaged(`packages/l${i}`, `l${i}`, value),
    other: (folder, i, value) => {
      write(folder, packaged(`elsewhere/l${i}`, `l${i}`, value))
      link(folder, `l${i}`, `elsewhere/l${i}`)
    },
  },
}

const names = Object.keys(parts)
/** Sources of the model lie in `model/`, so that a nearer `node_modules` can come to be; packages and paths lie above. */
const placed = (files: Readonly<Record<string, string>>) =>
  Object.fromEntries(
    Object.entries(files).map(([name, text]) => [
      /^(node_modules|packages|first|second)\//.test(name) ? name : `model/${name}`,
      text,
    ]),
  )

interface Graph {
  readonly folder: string
  readonly kinds: readonly string[]
  readonly values: readonly number[]
}

function createGraph(kinds: readonly string[], values: readonly number[]): Graph {
  const folder = mkdtempSync(join(realpathSync(tmpdir()), "weft-observed-"))
  const paths = { "@/*": ["./first/*", "./second/*"] }
  const imports = kinds.map((kind, i) => parts[kind]!.imports(i)).join("\n")
  const sum = kinds.map((_, i) => `n${i} * ${1000 ** i}`).join(" + ")
  write(folder, {
    "tsconfig.json": JSON.stringify({ compilerOptions: { ...compilerOptions, resolveJsonModule: true, paths } }),
    "package.json": JSON.stringify({ type: "module" }),
    "model/model.ts": `${imports}\nexport const value: number = ${sum}\n`,
  })
  for (const [i, kind] of kinds.entries()) {
    write(folder, placed(parts[kind]!.files(i, values[i]!)))
    if (kind === "a linked package") link(folder, `l${i}`, `packages/l${i}`)
  }
  return { folder, kinds, values }
}

const sumOf = (values: readonly number[]) => values.reduce((sum, value, i) => sum + value * 1000 ** i, 0)
const load = async ({ folder }: Graph) => loadModel(join(folder, "model/model.ts"))

interface Edit {
  readonly part: number
  readonly value: number
  /** By another file or link rather than by another text. */
  readonly other: boolean
}

/** Makes the number of a part another one. */
function change({ folder, kinds }: Graph, { part: i, value, other }: Edit): void {
  const kind = kinds[i]!
  const part = parts[kind]!
  if (!other || part.other === undefined) write(folder, placed(part.files(i, value)))
  else part.other(/installed|linked|path/.test(kind) ? folder : join(folder, "model"), i, value)
}

function changeBack({ folder, kinds, values }: Graph, { part: i }: Edit): void {
  const files = placed(parts[kinds[i]!]!.files(i, values[i]!))
  for (const made of [`model/m${i}.ts`, "first", "model/node_modules"])
    if (!Object.hasOwn(files, made)) rmSync(join(folder, made), { recursive: true, force: true })
  if (kinds[i] === "a linked package") link(folder, `l${i}`, `packages/l${i}`)
  write(folder, files)
}

describe("a graph of modules", () => {
  test("every part is seen by its text and by what may take its place", async () => {
    const graph = createGraph(
      names,
      names.map((_, i) => i + 1),
    )
    const { module, observed, outside } = await load(graph)
    expect(module.value).toBe(sumOf(graph.values))
    expect(outside).toBeUndefined()
    const seen: Observed = JSON.parse(JSON.stringify(observed))
    expect(stillHolds(seen)).toBe(true)
    for (const [part, kind] of names.entries())
      for (const other of [false, true]) {
        const edit = { part, value: 500, other }
        change(graph, edit)
        expect(stillHolds(seen), `${kind}, ${other}`).toBe(false)
        changeBack(graph, edit)
        expect(stillHolds(seen), `${kind} changed back`).toBe(true)
      }
    // What has nothing to do with it changes nothing.
    write(graph.folder, { "model/other.ts": says(1), "second/other.ts": says(1), "model/m99.json": "{}" })
    expect(stillHolds(seen)).toBe(true)
    const before = JSON.stringify({ compilerOptions: { ...compilerOptions, resolveJsonModule: true } })
    write(graph.folder, { "model/tsconfig.json": before })
    expect(stillHolds(seen)).toBe(false)
    rmSync(graph.folder, { recursive: true })
  })

  test("law: a random edit is seen, and a load in the same process gives the edited number", async () => {
    const graphs = fc.record({
      kinds: fc.array(fc.constantFrom(...names), { minLength: 1, maxLength: 4 }),
      edits: fc.array(fc.record({ part: fc.nat(3), value: fc.integer({ min: 100, max: 999 }), other: fc.boolean() }), {
        minLength: 1,
        maxLength: 12,
      }),
    })
    const property = fc.asyncProperty(graphs, async ({ kinds, edits }) => {
      const values = kinds.map((_, i) => i + 1)
      const graph = createGraph(kinds, values)
      const { module, observed } = await load(graph)
      expect(module.value).toBe(sumOf(values))
      const within = edits.map((edit) => ({ ...edit, part: edit.part % kinds.length }))
      for (const edit of within) {
        change(graph, edit)
        expect(stillHolds(observed)).toBe(false)
        changeBack(graph, edit)
        expect(stillHolds(observed)).toBe(true)
      }
      const last = within.at(-1)!
      change(graph, last)
      const after = values.map((value, i) => (i === last.part ? last.value : value))
      expect((await load(graph)).module.value).toBe(sumOf(after))
      rmSync(graph.folder, { recursive: true })
    })
    await fc.assert(property, { numRuns: runs(5), seed, endOnFailure: true })
  })
})

describe("what leads outside of the files", () => {
  const cases: readonly (readonly [name: string, what: string | undefined, text: string])[] = [
    ["the environment", "`process`", "export const k = process.env.K"],
    ["the environment by another name", "`globalThis`", "const { process: p } = globalThis"],
    ["a property that is handed on", "`process`", "export const o = { process }"],
    ["the clock", "`Date`", "export const k = Date.now()"],
    ["chance", "`random`", "export const k = Math.random()"],
    ["chance by another name", "`Math` as a value", "const { random } = Math"],
    ["chance by way of its object", "`Math` as a value", "export const M = [Math]"],
    ["chance in brackets", "`Math` as a value", 'export const f = () => Math["random"]()'],
    ["the network", "`fetch`", "export const k = await fetch(String(1))"],
    ["a text that is run", "`eval`", 'export const k = eval("1")'],
    ["Function by way of a function", "`constructor`", 'export const k = (() => 0).constructor("return 1")()'],
    ["what the host has put into a global", "`WIDTH`", "declare const WIDTH: number\nexport const k = WIDTH"],
    ["where the file lies", "import.meta", "export const k = import.meta"],
    ["a computed import", "an import of a computed name", 'const name = "./x.js"\nexport const k = import(name)'],
    ["the language of the machine", "`toLocaleString`", "export const k = (3.5).toLocaleString()"],
    [
      "nothing",
      undefined,
      `interface Process { readonly process: number }
export const of = (p: Process) => ({ ...p, process: Math.exp(p.process), random: [1, undefined, NaN] })
export const k = [...new Map([[1, of({ process: 2 })]]).values()].map(({ process: p, random: r }) => [p, Object.keys(r)])
label: for (const x of [new Error("x"), class A { date = 1 }]) { JSON.stringify(x); break label }
enum Mode { Date }
export { k as Date, Mode }`,
    ],
  ]
  const folder = temporaryProject(Object.fromEntries(cases.map(([, , text], i) => [`case${i}.ts`, `${text}\n`])))
  const project = openProject(cases.map((_, i) => join(folder, `case${i}.ts`)))

  test.each(cases.map(([name, what], i) => [name, what, i] as const))("%s", (_, what, i) => {
    const source = project.sources.find(({ fileName }) => fileName.endsWith(`case${i}.ts`))!
    expect(outsideOf(source, project.language.checker)?.what).toBe(what)
    expect(outsideOf(source)?.what).toBe(what)
  })

  test("a local by the name of a global does not, where a checker tells them apart", () => {
    const text = `export const width = (window: number, { process }: { process: number }) => window + process\n`
    const folder = temporaryProject({ "model.ts": text, "global.ts": "export const width = window.innerWidth\n" })
    const { sources, language } = openProject([join(folder, "model.ts"), join(folder, "global.ts")])
    const found = (name: string, checker?: typeof language.checker) =>
      outsideOf(sources.find(({ fileName }) => fileName.endsWith(name))!, checker)?.what
    expect(found("model.ts", language.checker)).toBeUndefined()
    expect(found("model.ts")).toBe("`window`")
    expect(found("global.ts", language.checker)).toBe("`window`")
    rmSync(folder, { recursive: true })
  })

  test("Node's modules, imported and required", async () => {
    const options = { compilerOptions: { ...compilerOptions, strict: false } }
    const read = 'readFileSync(new URL("./k.txt", import.meta.url), "utf8")'
    const files = {
      "k.txt": "7",
      "any.d.ts":
        'declare module "node:fs"\ndeclare var URL: any, require: any\ninterface ImportMeta { url: string }\n',
      "model.ts": `import { readFileSync } from "node:fs"\nexport const value = Number(${read})\n`,
      "required.ts": 'const { readFileSync } = require("node:fs")\nexport const value = typeof readFileSync\n',
    }
    const folder = temporaryProject(files, options)
    const { module, outside } = await loadModel(join(folder, "model.ts"))
    expect(module.value).toBe(7) // Beside the file itself, wherever its bundle is.
    expect(outside).toMatch(/model\.ts( imports "node:fs"|:2:61 uses import\.meta)$/)
    writeFileSync(join(folder, "k.txt"), "8")
    expect((await loadModel(join(folder, "model.ts"))).module.value).toBe(8)
    const required = await loadModel(join(folder, "required.ts"))
    expect([required.module.value, required.outside]).toEqual(["function", expect.stringContaining("node:fs")])
    rmSync(folder, { recursive: true })
  })

  test("a package that looks at the environment stays outside, and so does what imports it", async () => {
    const folder = temporaryProject({
      ...packaged("node_modules/pure", "pure", 2),
      ...packaged("node_modules/settings", "settings", 3),
      "node_modules/settings/i.js": "export const k = Number(process.env.WEFT_TEST_SETTING ?? 3)\n",
      "one.ts": 'import { k } from "pure"\nexport const value = k\n',
      "model.ts":
        'import { k } from "settings"\nimport { value as other } from "./one.js"\nexport const value = k * other\n',
    })
    const { module, bundle, outside } = await loadModel(join(folder, "model.ts"))
    expect(module.value).toBe(6)
    expect(outside).toMatch(/settings\/i\.js:1:25 uses `process`$/)
    expect(bundle.match(/^import .*$/gm)).toEqual([expect.stringContaining("node_modules/settings/i.js")])
    expect((await loadModel(join(folder, "one.ts"))).outside).toBeUndefined()
    rmSync(folder, { recursive: true })
  })

  test("the shipped model depends on files alone, wherever it lies", async () => {
    const model = join(root, "models/qwen3.ts")
    expect((await loadModel(model)).outside).toBeUndefined()
    const { sources, language } = openProject([model])
    expect(outsideOf(sources.find(({ fileName }) => fileName === model)!, language.checker)).toBeUndefined()
  })
})

describe("what a process has checked", () => {
  const files = {
    ...packaged("node_modules/p", "p", 2),
    "model.ts":
      'import { k } from "p"\nconst list = [k]\nexport const value: number = list[0]\nexport const made = {}\n',
  }
  const load = async (folder: string) => (await loadModel(join(folder, "model.ts"))).module

  test("is imported anew each time", async () => {
    const folder = temporaryProject(files)
    const [first, second] = [await load(folder), await load(folder)]
    expect(second).toEqual(first)
    expect(second.made).not.toBe(first.made)
    rmSync(folder, { recursive: true })
  })

  const settings = { compilerOptions: { ...compilerOptions, noUncheckedIndexedAccess: true } }
  /** Changes after which the module would be the same, but has an error. */
  const changes: readonly (readonly [string, string, string])[] = [
    ["a package's declarations", "node_modules/p/i.d.ts", "export declare const k: string\n"],
    ["the settings", "tsconfig.json", JSON.stringify(settings)],
    ["a file of declarations that comes to be", "p.d.ts", 'declare module "p" {\n  export const k: string\n}\n'],
  ]
  test.each(changes)("is checked again after a change: %s", async (_, name, text) => {
    const folder = temporaryProject(files)
    expect((await load(folder)).value).toBe(2)
    write(folder, { [name]: text })
    await expect(load(folder)).rejects.toMatchObject({ code: "model/type-error" })
    rmSync(folder, { recursive: true })
  })
})
