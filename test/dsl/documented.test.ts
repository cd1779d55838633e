/**
 * What a doc comment of the language promises is held: each function that dsl/index.ts and models/rotary.ts export says what it is, and with which codes it refuses; the calls
 * of misuse-programs.ts and definition-cases.ts show each of these codes, and no other. `trace/tensor` (an argument that is no tensor of the running
 * trace) goes for all.
 */
import { readdirSync, readFileSync } from "node:fs"
import fc from "fast-check"
import { ts } from "ts-morph"
import { expect, test } from "vitest"
import * as language from "../../dsl/index.js"
import * as rotary from "../../models/rotary.js"
import { WeftError } from "../../runtime/errors.js"
import { law } from "../laws/settings.js"
import { definitions, isCostly, refusal } from "./definition-cases.js"
import { numbers, observed, others } from "./misuse-cases.js"

/** `indexing` only gives a type, `silu` is a scalar function. */
const unchecked = new Set(["indexing", "silu"])

interface Documented {
  readonly text: string
  /** The parameters that are tensors, and whether the result is one, where it takes or gives any. */
  readonly tensors: readonly string[] | undefined
  readonly codes: readonly string[]
}

const surface: Readonly<Record<string, unknown>> = { ...language, ...rotary }
const isFunction = (name: string) => typeof surface[name] === "function"

/** The names of the parameters whose types hold tensors; undefined for a function of none, and for definitions, which are made of such. */
function tensorsOf(node: ts.FunctionDeclaration): readonly string[] | undefined {
  const holds = (text: string) => /\b(Tensor|Index|AnyTensor|Typed)\b/.test(text)
  const generics = (node.typeParameters ?? [])
    .filter((t) => holds(t.constraint?.getText() ?? ""))
    .map((t) => t.name.text)
  const isTensor = (type: ts.TypeNode | undefined) => {
    const text = type?.getText() ?? ""
    return holds(text) || (!text.includes("=>") && generics.some((name) => new RegExp(`\\b${name}\\b`).test(text)))
  }
  if (/^define/.test(node.name!.text)) return undefined
  const named = node.parameters.filter(({ type }) => isTensor(type)).map(({ name }) => name.getText())
  return named.length > 0 || isTensor(node.type) ? named : undefined
}

/** The exported functions of the language's files by their names, with what their comments say. */
function documented(): ReadonlyMap<string, Documented> {
  const found = new Map<string, Documented>()
  const files = readdirSync("dsl").flatMap((name) => (/^(?!index\.).*\.ts$/.test(name) ? [`dsl/${name}`] : []))
  for (const file of [...files, "models/rotary.ts", "models/rotary-config.ts"]) {
    const source = ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest, true)
    for (const node of source.statements) {
      const declared = ts.isVariableStatement(node) ? node.declarationList.declarations[0]?.name : undefined
      const named = ts.isFunctionDeclaration(node) ? node.name : declared
      const name = named !== undefined && ts.isIdentifier(named) ? named.text : undefined
      const isExported =
        ts.canHaveModifiers(node) && ts.getModifiers(node)?.some((m) => m.kind === ts.SyntaxKind.ExportKeyword)
      if (name === undefined || !isExported || found.has(name) || !isFunction(name)) continue
      const tags = ts.getJSDocTags(node).filter((tag) => tag.tagName.text === "throws")
      const codes = tags.map(
        (tag) =>
          /^`([\w/-]+)`(?:(?:, at the caller's line,)? when |, always)/.exec(
            ts.getTextOfJSDocComment(tag.comment) ?? "",
          )?.[1] ?? "?",
      )
      const comments = ts.getJSDocCommentsAndTags(node).map((doc) => doc.getText())
      found.set(name, {
        text: comments.join("\n"),
        codes,
        tensors: ts.isFunctionDeclaration(node) ? tensorsOf(node) : undefined,
      })
    }
  }
  return found
}

const drawn: readonly unknown[] = [...numbers, ...others]

/** The codes with which each definition refuses these. */
function refused(): Map<string, Set<string>> {
  const found = new Map<string, Set<string>>()
  for (const [name, slot] of Object.entries(definitions)) {
    const codes = found.get(name.split(" ")[0]!) ?? new Set<string>()
    found.set(name.split(" ")[0]!, codes)
    for (const value of drawn) {
      const error = slot.right(value) || isCostly(name, value) ? undefined : refusal(slot, value)
      if (error instanceof WeftError) codes.add(error.code)
    }
  }
  return found
}

test("each function says what it does and each code with which it refuses, and there is a case for each", async () => {
  const functions = documented()
  const cases = new Map<string, readonly string[]>()
  for (const [name, codes] of await observed()) cases.set(name, [...codes.keys()])
  for (const [name, codes] of refused()) cases.set(name, [...(cases.get(name) ?? []), ...codes])
  expect(Object.keys(surface).filter(isFunction).sort()).toEqual([...functions.keys()].sort())
  expect([...cases.keys()].filter((name) => !functions.has(name))).toEqual([])
  for (const [name, { text, codes }] of functions) {
    expect(text.length, `${name} has a comment`).toBeGreaterThan(20)
    const shown = (cases.get(name) ?? []).filter((code) => code !== "trace/tensor")
    if (!unchecked.has(name)) expect(cases.has(name), `${name} has cases of misuse`).toBe(true)
    expect([...codes].sort(), `what ${name} says it throws`).toEqual(shown.sort())
  }
})

test("what a definition is given is right, or is told at its caller's line", () => {
  const names = Object.keys(definitions)
  const any = fc.oneof(fc.constantFrom(...drawn), fc.integer(), fc.double(), fc.string(), fc.bigInt())
  law("misuse of definitions", fc.record({ name: fc.nat(9999), value: any }), 4000, ({ name, value }) => {
    const chosen = names[name % names.length]!
    const slot = definitions[chosen]!
    if (isCostly(chosen, value)) return
    const error = refusal(slot, value)
    const told = `${chosen} of ${typeof value} ${String(value)}`
    if (slot.right(value)) {
      if (error !== undefined) throw new Error(`${told} is refused: ${error}`)
      return
    }
    if (error === undefined) throw new Error(`${told} is taken`)
    if (!(error instanceof WeftError)) throw new Error(`${told} ends in ${error}`)
    const [function_] = chosen.split(" ") as [string]
    if (!error.message.startsWith(function_)) throw new Error(`${told} is told as: ${error.message}`)
    const place = error.stack!.slice(error.stack!.indexOf("\n    at ")).split("\n")[1]!
    const onlyCalled = ["bits", "fromBits", "toF32", "toI32", "toU32"].includes(function_)
    if (!onlyCalled && !place.includes("definition-cases.ts")) throw new Error(`${told} is told at ${place}`)
  })
})

test("each function of tensors says their axes, with extents, and those of its result", () => {
  const functions = [...documented()].filter(([, { tensors }]) => tensors !== undefined)
  expect(functions.length).toBeGreaterThan(40)
  const silent = functions.filter(([, { text, tensors }]) => {
    const taken = /^ \* {5}((?:\w+(?:\(i\))?: [^"]+)?)→ .+$/m.exec(text)?.[1]
    return taken === undefined || !tensors!.every((name) => new RegExp(`\\b${name}(\\(i\\))?: `).test(taken))
  })
  expect(silent.map(([name]) => name)).toEqual([])
})
