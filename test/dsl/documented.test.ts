/**
 * What a doc comment of the language promises is held: each function of tensors and extents says what it is, and with which codes it refuses; the calls
 * of misuse-programs.ts show each of these codes, and no other. `trace/tensor` (an argument that is no tensor of the running trace) goes for all.
 */
import { readFileSync } from "node:fs"
import { ts } from "ts-morph"
import { expect, test } from "vitest"
import { observed } from "./misuse-cases.js"

const files = ["axes", "fold", "functions", "map", "memory"]
/** Functions that check nothing: they only give a type. */
const unchecked = new Set(["indexing"])

interface Documented {
  readonly text: string
  readonly codes: readonly string[]
}

/** The exported functions of these files, all of which dsl/index.ts exports, and what their comments say. */
function documented(): ReadonlyMap<string, Documented> {
  const found = new Map<string, Documented>()
  for (const file of files) {
    const source = ts.createSourceFile(file, readFileSync(`dsl/${file}.ts`, "utf8"), ts.ScriptTarget.Latest, true)
    for (const node of source.statements) {
      const name = ts.isFunctionDeclaration(node) ? node.name?.text : undefined
      const isExported =
        ts.canHaveModifiers(node) && ts.getModifiers(node)?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword)
      if (name === undefined || !isExported || found.has(name)) continue
      const tags = ts.getJSDocTags(node).filter((tag) => tag.tagName.text === "throws")
      const codes = tags.map(
        (tag) => /^`([\w/-]+)` when /.exec(ts.getTextOfJSDocComment(tag.comment) ?? "")?.[1] ?? "?",
      )
      const comments = ts.getJSDocCommentsAndTags(node).map((doc) => doc.getText())
      found.set(name, { text: comments.join("\n"), codes })
    }
  }
  return found
}

test("each function says what it does and each code with which it refuses, and there is a case for each", async () => {
  const functions = documented()
  const cases = await observed()
  expect(functions.size).toBeGreaterThan(35)
  expect([...cases.keys()].filter((name) => name !== "call" && !functions.has(name))).toEqual([])
  for (const [name, { text, codes }] of functions) {
    expect(text.length, `${name} has a comment`).toBeGreaterThan(20)
    const shown = [...(cases.get(name)?.keys() ?? [])].filter((code) => code !== "trace/tensor")
    if (!unchecked.has(name)) expect(cases.has(name), `${name} has cases of misuse`).toBe(true)
    expect([...codes].sort(), `what ${name} says it throws`).toEqual(shown.sort())
  }
})
