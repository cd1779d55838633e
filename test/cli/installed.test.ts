/**
 * The package as it is installed: strictly, each package reaches what it declares alone, its files belong to another user and cannot be
 * written, and no home or cache is named.
 */
import { spawnSync } from "node:child_process"
import {
  chmodSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join, relative } from "node:path"
import { ts } from "ts-morph"
import { afterAll, beforeAll, expect, test } from "vitest"
import { createProgram } from "../../compiler/frontend/program.js"
// @ts-expect-error: a script without declarations.
import { buildTypes } from "../../scripts/build.mjs"
import { root } from "../support/goldens.js"

let folder: string
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "weft-installed-"))
  chmodSync(folder, 0o755)
  buildTypes(() => {})
  install()
})
afterAll(() => rmSync(folder, { recursive: true, force: true }))

const store = (name: string) => join("node_modules", ".store", name.replace("/", "+"), "node_modules", name)

/** As pnpm lays packages out: a package beside links to what it declares, and the project with links to what it declares. */
function install(): void {
  const manifest = JSON.parse(readFileSync(join(root, "package.json"), "utf8"))
  const weft = join(folder, store("weft"))
  for (const name of [...manifest.files, "package.json"])
    if (!name.includes("*"))
      cpSync(join(root, name), join(weft, name), { recursive: true, filter: (path) => !path.endsWith("tales") })
  // What it depends on lies, with what that depends on, in one folder that nothing else reaches.
  for (const name of Object.keys(manifest.dependencies)) link(join(weft, "..", name), place(name))
  for (const name of ["weft", "zod"]) link(join(folder, "node_modules", name), name === "weft" ? weft : place(name))
  writeAll({
    "package.json": '{ "type": "module", "dependencies": { "weft": "*", "zod": "*" } }',
    "tsconfig.json": '{ "compilerOptions": { "strict": true, "module": "nodenext", "target": "es2023", "types": [] } }',
    "program.ts": `import { defineProgram, input, map, upTo } from "weft"
export const program = defineProgram({
  inputs: { x: input({ n: upTo(4) }) },
  outputs: { y: ["n"] },
  run: ({ x }) => ({ y: map((v) => v * 3, x) }),
})\n`,
    "model.ts": model,
    "run.mjs": `import { compile } from "weft/compiler"
import { loadProgram } from "weft/node"
const program = await loadProgram("program.ts", { device: "wasm", threads: 1 })
console.log([...(await program.run({ x: Float32Array.of(1, 2) })).y.data].join())
program.dispose()
const artifact = await compile("model.ts", { vocab: 8, embed: 4, max_position_embeddings: 16 }, "wasm")
console.log(artifact.model.context)
const shipped = await compile("node_modules/weft/models/qwen3.ts", ${JSON.stringify(small)}, "wasm")
console.log(shipped.model.family)\n`,
  })
}

const model = `import * as z from "zod"
import { append, at, defineModel, dot, grows, rename, state, weight } from "weft"
import { rotaryContext, rotaryFields } from "weft/models/rotary"
export const model = defineModel({
  families: ["tiny"],
  config: z.object({ ...rotaryFields, vocab: z.int(), embed: z.int() }),
  facts: (c) => ({ context: rotaryContext(c), vocabulary: c.vocab, endTokens: [] }),
  parameters: (c) => ({ table: weight("table", { vocab: c.vocab }, { embed: c.embed }) }),
  state: (c) => ({ seen: state({ key: grows(rotaryContext(c)), embed: c.embed }) }),
  forward(c, w, tokens, past) {
    const x = at(w.table, "vocab", tokens)
    return { logits: dot(x, w.table, "embed"), past: { seen: append(past.seen, "key", rename(x, "seq", "key")) } }
  },
})\n`

const small = {
  model_type: "qwen3",
  vocab_size: 16,
  hidden_size: 8,
  intermediate_size: 8,
  num_hidden_layers: 1,
  num_attention_heads: 1,
  num_key_value_heads: 1,
  max_position_embeddings: 16,
}

/** A copy, so that another user may read it wherever this repository lies. */
function place(name: string): string {
  const copy = join(folder, "node_modules", ".store", "all", "node_modules", name)
  cpSync(join(root, "node_modules", name), copy, { recursive: true })
  const { dependencies = {}, optionalDependencies = {} } = JSON.parse(readFileSync(join(copy, "package.json"), "utf8"))
  for (const needed of Object.keys({ ...dependencies, ...optionalDependencies }))
    if (readdirSync(dirname(join(root, "node_modules", needed))).includes(needed.split("/").at(-1)!)) place(needed)
  return copy
}

function link(path: string, to: string): void {
  mkdirSync(dirname(path), { recursive: true })
  symlinkSync(relative(dirname(path), to), path)
}

function writeAll(files: Readonly<Record<string, string>>): void {
  for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text)
}

test("a program, a model with the project's own zod and the shipped model are compiled, and nothing is written there", () => {
  const before = readdirSync(folder, { recursive: true, encoding: "utf8" }).length
  const isRoot = process.getuid?.() === 0
  const other = isRoot ? { uid: 65534, gid: 65534 } : {}
  if (!isRoot) for (const name of [folder, join(folder, store("weft"))]) chmodSync(name, 0o555)
  const temporary = mkdtempSync(join(tmpdir(), "weft-other-"))
  chmodSync(temporary, 0o777)
  const env = { PATH: process.env.PATH, TMPDIR: temporary }
  const { stdout, stderr } = spawnSync(process.execPath, ["run.mjs"], { cwd: folder, env, encoding: "utf8", ...other })
  if (!isRoot) for (const name of [folder, join(folder, store("weft"))]) chmodSync(name, 0o755)
  expect(stderr).toBe("")
  expect(stdout).toBe("3,6\n16\nqwen3\n")
  expect(readdirSync(folder, { recursive: true, encoding: "utf8" }).length).toBe(before)
  rmSync(temporary, { recursive: true, force: true })
})

test("an editor offers to import what the entries export, and nothing internal", () => {
  const file = join(folder, "written.ts")
  const written = "export const one = softm\nexport const two = __\n"
  const options = { ...modern, strict: true, target: ts.ScriptTarget.ES2023, types: [] }
  const service = ts.createLanguageService({
    getCompilationSettings: () => options,
    getScriptFileNames: () => [file, join(folder, "model.ts")],
    getScriptVersion: () => "1",
    getScriptSnapshot: (name) => {
      const text = name === file ? written : ts.sys.readFile(name)
      return text === undefined ? undefined : ts.ScriptSnapshot.fromString(text)
    },
    getCurrentDirectory: () => folder,
    getDefaultLibFileName: ts.getDefaultLibFilePath,
    fileExists: ts.sys.fileExists,
    readFile: ts.sys.readFile,
    directoryExists: ts.sys.directoryExists,
    getDirectories: ts.sys.getDirectories,
    realpath: (path) => ts.sys.realpath?.(path) ?? path,
  })
  const offered = (prefix: string) =>
    service
      .getCompletionsAtPosition(file, written.indexOf(`${prefix}\n`) + prefix.length, {
        includeCompletionsForModuleExports: true,
        includePackageJsonAutoImports: "on",
      })!
      .entries.filter(({ source }) => source !== undefined)
      .map(({ name, source }) => `${name} from ${source}`)
  expect(offered("softm")).toEqual(["softmax from weft"])
  expect(offered("__").filter((entry) => /weft/.test(entry))).toEqual([])
})

const isWeft = ({ fileName }: ts.SourceFile) => fileName.includes("/.store/weft/node_modules/weft/")

const modern = { module: ts.ModuleKind.NodeNext, moduleResolution: ts.ModuleResolutionKind.NodeNext }
const old = { module: ts.ModuleKind.ESNext, moduleResolution: ts.ModuleResolutionKind.Node10 }

test.each([
  ["without the declarations of a page and of Node", { ...modern, lib: ["lib.es2023.d.ts"], types: [] }],
  ["with those of a page, found in the old way", { ...old, lib: ["lib.es2023.d.ts", "lib.dom.d.ts"], types: [] }],
])("the package's declarations hold %s", (_, given) => {
  const file = join(folder, "every.ts")
  const entries = ["weft", "weft/runtime", "weft/compiler", "weft/node", "weft/models/rotary"]
  writeFileSync(file, entries.map((name, i) => `export * as n${i} from "${name}"\n`).join(""))
  const options = {
    strict: true,
    noEmit: true,
    skipLibCheck: false,
    ignoreDeprecations: "6.0",
    target: ts.ScriptTarget.ES2023,
  }
  const program = createProgram([file, join(folder, "model.ts")], { ...options, ...given })
  // Of what is Weft's and of what imports it: other packages and the platform's own declarations take seconds to check.
  const own = program
    .getSourceFiles()
    .filter((f) => !program.isSourceFileDefaultLibrary(f) && (!f.fileName.includes("node_modules") || isWeft(f)))
  expect(own.filter(isWeft).length).toBeGreaterThan(50)
  const found = [
    ...program.getOptionsDiagnostics(),
    ...program.getGlobalDiagnostics(),
    ...own.flatMap((f) => [...program.getSyntacticDiagnostics(f), ...program.getSemanticDiagnostics(f)]),
  ]
  expect(found.map((d) => [d.file?.fileName, ts.flattenDiagnosticMessageText(d.messageText, "\n")])).toEqual([])
})
