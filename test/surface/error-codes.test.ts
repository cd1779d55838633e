/**
 * Every code of a WeftError has one style, `area/what`, and stands in the table of runtime/README.md. The sources are read with the checker: a code
 * is what is written where an `ErrorCode` is expected, whatever the function that takes it is called.
 */
import { readFileSync } from "node:fs"
import { relative } from "node:path"
import { ts } from "ts-morph"
import { expect, test } from "vitest"
import { createProgram } from "../../compiler/frontend/program.js"
import { fault } from "../../runtime/errors.js"

const folders = ["dsl", "compiler", "runtime", "models", "cli"]
const style = /^[a-z][a-z0-9]*(-[a-z0-9]+)*\/[a-z][a-z0-9]*(-[a-z0-9]+)*$/

/** The codes that the sources write, each with the first place that does; and the places that make an error of JavaScript's own. */
function readSources() {
  const { config } = ts.readConfigFile("tsconfig.json", ts.sys.readFile)
  const { fileNames, options } = ts.parseJsonConfigFileContent({ ...config, include: folders }, ts.sys, process.cwd())
  const program = createProgram(fileNames, options)
  const checker = program.getTypeChecker()
  const codes = new Map<string, string>()
  const plain: string[] = []
  for (const file of program.getSourceFiles()) {
    if (file.isDeclarationFile || file.fileName.includes("/node_modules/")) continue
    const placeOf = (node: ts.Node) =>
      `${relative("", file.fileName)}:${file.getLineAndCharacterOfPosition(node.getStart()).line + 1}`
    const visit = (node: ts.Node): void => {
      if (ts.isNewExpression(node) && /^(Aggregate|Range|Type|)Error$/.test(node.expression.getText()))
        plain.push(placeOf(node))
      if (isWritten(node) && isCode(checker.getContextualType(node))) {
        for (const code of textsOf(checker.getTypeAtLocation(node), checker))
          if (!codes.has(code)) codes.set(code, placeOf(node))
      }
      ts.forEachChild(node, visit)
    }
    visit(file)
  }
  return { codes, plain }
}

/** A text that may be a code (without a `/` none is of the type), or a name that is handed on and may be of a narrower type. */
const isWritten = (node: ts.Node): node is ts.Expression =>
  ts.isStringLiteralLike(node) || ts.isTemplateExpression(node)
    ? /^.[^\s/]*\/[^\s/]*.$/.test(node.getText())
    : ts.isIdentifier(node) && /code/i.test(node.text) && ts.isCallOrNewExpression(node.parent)

const isCode = (type: ts.Type | undefined): boolean =>
  type !== undefined &&
  (type.flags & ts.TypeFlags.TemplateLiteral) !== 0 &&
  (type as ts.TemplateLiteralType).texts.join("…") === "…/…"

/** The texts of a type; the type itself where it is not made of some. A code that is only handed on is written elsewhere. */
const textsOf = (type: ts.Type, checker: ts.TypeChecker): readonly string[] =>
  type.isUnion()
    ? type.types.flatMap((part) => textsOf(part, checker))
    : isCode(type)
      ? []
      : [type.isStringLiteral() ? type.value : checker.typeToString(type)]

const { codes: written, plain } = readSources()

test("each code is an area and what went wrong in it", () => {
  expect(written.size).toBeGreaterThan(100)
  expect([...written].filter(([code]) => !style.test(code))).toEqual([])
})

test("the table of the README has each code, and no other", () => {
  const readme = readFileSync("runtime/README.md", "utf8")
  const table = readme.slice(readme.indexOf("<!-- codes -->"), readme.indexOf("<!-- end -->"))
  const listed = [...table.matchAll(/^\| `([a-z]+)\/` +\|([^|]*)\|/gm)].flatMap(([, area, cells]) =>
    [...cells!.matchAll(/`([\w-]+)`/g)].map(([, what]) => `${area}/${what}`),
  )
  expect(listed).toEqual([...new Set(listed)])
  expect([...listed].sort()).toEqual([...written.keys()].sort())
})

test("no plain error is made, which would leave the package without a code", () => {
  expect(plain).toEqual([])
})

test("what only a mistake of ours can reach says so, and where to go with it", () => {
  const { code, message } = fault("no local holds this value")
  expect(code).toBe("weft/fault")
  expect(message).toBe(
    "this is a fault of Weft itself: no local holds this value\nhint: report it with the model's file, its config and the stack of this error",
  )
})
