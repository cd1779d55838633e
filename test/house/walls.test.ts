/**
 * Who may import whom, read off the syntax trees of all files: the folders of the compiler and of the package, circles, and how many files a
 * folder has.
 */
import { readdirSync, readFileSync } from "node:fs"
import { dirname, join, relative } from "node:path"
import { ts } from "ts-morph"
import { describe, expect, test } from "vitest"
import { root } from "../support/goldens.js"

const parts = ["dsl", "compiler", "runtime", "models", "examples", "cli"] as const

/** The folders that the files of a folder may import, besides their own. */
const compilerWalls: Readonly<Record<string, readonly string[]>> = {
  ir: [],
  interpret: ["ir"],
  trace: ["ir"],
  tensor: ["ir"],
  kernel: ["ir", "tensor"],
  tile: ["ir"],
  schedule: ["ir", "kernel", "tile"],
  loop: ["ir"],
  plan: ["ir", "trace", "kernel"],
  targets: ["ir", "loop"],
  frontend: [],
  // What a compilation costs is read off what it went through.
  explain: ["ir", "kernel", "tile", "targets", "compile.ts", "compile-file.ts"],
}

const packageWalls: Readonly<Record<(typeof parts)[number], readonly string[]>> = {
  dsl: ["runtime/errors.ts"],
  runtime: [],
  compiler: ["dsl", "runtime"],
  models: ["dsl"],
  examples: ["dsl"],
  cli: ["dsl", "compiler", "runtime", "models"],
}

interface Import {
  readonly from: string
  readonly to: string
}

function filesBelow(folder: string): readonly string[] {
  return readdirSync(join(root, folder), { withFileTypes: true }).flatMap((entry) => {
    const path = `${folder}/${entry.name}`
    return entry.isDirectory() ? filesBelow(path) : path.endsWith(".ts") ? [path] : []
  })
}

const files = parts.flatMap(filesBelow)

/** The relative imports and exports of a file, also those of types and of a call of `import`. */
function importsOf(from: string): readonly Import[] {
  const source = ts.createSourceFile(from, readFileSync(join(root, from), "utf8"), ts.ScriptTarget.Latest, true)
  const found: Import[] = []
  const visit = (node: ts.Node): void => {
    const named =
      ts.isImportDeclaration(node) || ts.isExportDeclaration(node)
        ? node.moduleSpecifier
        : ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)
          ? node.argument.literal
          : ts.isCallExpression(node) && node.expression.kind === ts.SyntaxKind.ImportKeyword
            ? node.arguments[0]
            : undefined
    if (named !== undefined && ts.isStringLiteralLike(named) && named.text.startsWith("."))
      found.push({ from, to: join(dirname(from), named.text).replace(/\.js$/, ".ts") })
    ts.forEachChild(node, visit)
  }
  visit(source)
  return found
}

const imports = files.flatMap(importsOf)
const within = (file: string, allowed: string) => file === allowed || file.startsWith(`${allowed}/`)

describe("walls", () => {
  test("each import leads to a file", () => {
    const known = new Set(files)
    expect(imports.filter(({ to }) => !known.has(to) && !to.endsWith(".json"))).toEqual([])
    expect(imports.length).toBeGreaterThan(1000)
  })

  test.each(parts)("%s imports what it may", (part) => {
    const allowed = [part, ...packageWalls[part]]
    const wrong = imports.filter(({ from, to }) => within(from, part) && !allowed.some((a) => within(to, a)))
    expect(wrong).toEqual([])
  })

  test("each folder of the compiler imports what it may, and every one is named here", () => {
    const folders = readdirSync(join(root, "compiler"), { withFileTypes: true }).flatMap((entry) =>
      entry.isDirectory() ? [entry.name] : [],
    )
    expect(folders.filter((f) => f !== "tuned").sort()).toEqual(Object.keys(compilerWalls).sort())
    const wrong = Object.entries(compilerWalls).flatMap(([folder, allowed]) =>
      imports.filter(
        ({ from, to }) =>
          within(from, `compiler/${folder}`) &&
          within(to, "compiler") &&
          ![folder, ...allowed].some((a) => within(to, `compiler/${a}`)),
      ),
    )
    expect(wrong).toEqual([])
  })

  test("printers of targets do not know each other", () => {
    const targets = readdirSync(join(root, "compiler/targets"), { withFileTypes: true }).filter((e) => e.isDirectory())
    const wrong = targets.flatMap(({ name }) =>
      imports.filter(
        ({ from, to }) =>
          within(from, `compiler/targets/${name}`) &&
          targets.some(
            (other) => other.name !== name && other.name !== "text" && within(to, `compiler/targets/${other.name}`),
          ),
      ),
    )
    expect(wrong).toEqual([])
  })

  test("no file is imported by what it imports", () => {
    expect(circles(imports)).toEqual([])
    expect(
      circles([
        { from: "a", to: "b" },
        { from: "b", to: "c" },
        { from: "c", to: "a" },
        { from: "c", to: "d" },
      ]),
    ).toEqual([["a", "b", "c"]])
  })

  test("no folder has more than 20 files", () => {
    const count = new Map<string, number>()
    for (const file of files) count.set(dirname(file), (count.get(dirname(file)) ?? 0) + 1)
    expect([...count].filter(([folder, n]) => /^(compiler|runtime)/.test(folder) && n > 20)).toEqual([])
  })

  test("the compiler and the devices know no model", () => {
    const words = /attention|\brope\b|softmax|\bexperts?\b|qwen/i
    const wrong = files
      .filter((file) => within(file, "compiler") || within(file, "runtime/devices"))
      .flatMap((file) => {
        const lines = readFileSync(join(root, file), "utf8").split("\n")
        return lines.flatMap((line, i) =>
          words.test(line) ? [`${relative(root, join(root, file))}:${i + 1}: ${line.trim()}`] : [],
        )
      })
    expect(wrong).toEqual([])
  })
})

/** The sets of files that import one another, by Tarjan's algorithm. */
function circles(edges: readonly Import[]): readonly (readonly string[])[] {
  const next = new Map<string, string[]>()
  for (const { from, to } of edges) next.set(from, [...(next.get(from) ?? []), to])
  const number = new Map<string, number>()
  const lowest = new Map<string, number>()
  const open: string[] = []
  const found: string[][] = []
  const visit = (file: string): void => {
    number.set(file, number.size)
    lowest.set(file, number.get(file)!)
    open.push(file)
    for (const to of next.get(file) ?? []) {
      if (!number.has(to)) visit(to)
      if (open.includes(to)) lowest.set(file, Math.min(lowest.get(file)!, lowest.get(to)!))
    }
    if (lowest.get(file) !== number.get(file)) return
    const circle = open.splice(open.indexOf(file))
    if (circle.length > 1 || next.get(file)?.includes(file)) found.push(circle.sort())
  }
  for (const file of next.keys()) if (!number.has(file)) visit(file)
  return found
}
