/**
 * A scalar function means what its TypeScript says: random functions as text, evaluated by JavaScript itself and by the compiler's interpreter, are
 * equal at every point, or the compiler refuses them.
 *
 *   (x, i) => x + toF32(Math.trunc(i / 3))     JavaScript: f(x + f(i32(Math.trunc(i / 3))))
 *
 * JavaScript's side stores each step in an array of its type (f: Math.fround, s: an Int32Array, u: a Uint32Array), and nothing else: that is what
 * the language's table says. Numbers between numbers are computed in float64.
 */
import { join } from "node:path"
import fc from "fast-check"
import { ts } from "ts-morph"
import { expect, test } from "vitest"
import { openProject } from "../../compiler/frontend/project.js"
import { lower } from "../../compiler/frontend/scalars/lower.js"
import { isScalarFunction } from "../../compiler/frontend/scalars/scalars.js"
import { compileScalar } from "../../compiler/interpret/scalar.js"
import { withTable } from "../../compiler/ir/expression.js"
import { typeScalar } from "../../compiler/trace/scalars.js"
import { __scalar } from "../../dsl/attach.js"
import { WeftError } from "../../runtime/errors.js"
import { languageRoots, temporaryProject } from "../frontend/cases.js"
import { Choices } from "./choices.js"
import { runs, seed } from "./settings.js"

type Type = "f32" | "i32" | "u32" | "bool"

/** A tree as TypeScript (`text`) and as JavaScript that stores each step (`stored`). */
interface Drawn {
  readonly text: string
  readonly stored: string
  /** A number without a variable: JavaScript computes with it in float64. */
  readonly known: boolean
  /** Nothing in it has a type but by its context. */
  readonly weak: boolean
}

const parameters: Readonly<Record<string, Type>> = {
  x: "f32",
  y: "f32",
  i: "i32",
  j: "i32",
  m: "u32",
  n: "u32",
  c: "bool",
}
const stores: Readonly<Record<Type, string>> = { f32: "f", i32: "s", u32: "u", bool: "" }
const captured = { half: 0.5, three: 3, minus: -7, word: 0x9e3779b9 }

const floats = [0, 1, 2, 0.5, 0.1, 2.5, 1e-3, 3e5, 16777217, 3.4028235e38]
const integers = [0, 1, 2, 3, 5, 31, 7, 255, 65536, 2147483647, 4294967295, 0x9e3779b9]

function tree(choose: Choices, type: Type, depth: number): Drawn {
  if (type === "bool") return condition(choose, depth)
  if (depth <= 0 || choose.below(5) === 0) return leaf(choose, type)
  const made = type === "f32" ? real(choose, depth) : whole(choose, type, depth)
  return made ?? leaf(choose, type)
}

function leaf(choose: Choices, type: Type): Drawn {
  const names = Object.keys(parameters).filter((name) => parameters[name] === type)
  if (choose.below(3) !== 0) {
    const name = choose.of(names)
    return { text: name, stored: name, known: false, weak: false }
  }
  const constants = Object.keys(captured).filter((name) => name !== "half" || type === "f32")
  if (choose.below(4) === 0) {
    const name = choose.of(constants)
    return { text: name, stored: name, known: true, weak: true }
  }
  const text = String(choose.of(type === "f32" ? floats : integers))
  return { text, stored: text, known: true, weak: true }
}

/** `pattern` with the parts in the place of $0, $1, …; what is known stays as it is, the rest is stored. `javascript` where that is spelled otherwise. */
function node(type: Type, pattern: string, parts: readonly Drawn[], weak: boolean, javascript = pattern): Drawn {
  const filled = (pattern: string, by: (part: Drawn) => string) =>
    pattern.replace(/\$(\d)/g, (_, index) => enclosed(by(parts[Number(index)]!)))
  const known = parts.every((part) => part.known)
  const plain = filled(known ? pattern : javascript, (part) => part.stored)
  return {
    text: filled(pattern, (part) => part.text),
    stored: known ? plain : `${stores[type]}(${plain})`,
    known,
    weak,
  }
}

const enclosed = (text: string) => (/^\w+$/.test(text) ? text : `(${text})`)

/** The numbers that a node of `type` meets are rounded to it: they are literals of that type. */
const typed = (type: Type, part: Drawn): Drawn =>
  part.known ? { ...part, stored: `${stores[type]}(${part.stored})`, known: false } : part

function real(choose: Choices, depth: number): Drawn | undefined {
  const part = (type: Type = "f32") => tree(choose, type, depth - 1)
  const kind = choose.below(10)
  if (kind === 0) {
    const arg = part(choose.of(["i32", "u32", "f32", "bool"] as const))
    return arg.weak ? undefined : node("f32", choose.of(["toF32($0)"]), [arg], false, "Number($0)")
  }
  if (kind === 1) return chosen(choose, "f32", depth)
  if (kind <= 4) {
    const name = choose.of([
      "abs",
      "floor",
      "ceil",
      "round",
      "round",
      "trunc",
      "sign",
      "sqrt",
      "exp",
      "log",
      "sin",
      "tanh",
    ])
    const arg = part()
    return node("f32", `Math.${name}($0)`, [arg], arg.weak)
  }
  const pattern = choose.of([
    "$0 + $1",
    "$0 - $1",
    "$0 * $1",
    "$0 / $1",
    "$0 ** $1",
    "$0 % $1",
    "Math.min($0, $1)",
    "Math.max($0, $1)",
  ])
  return binary("f32", pattern, part(), part())
}

function binary(type: Type, pattern: string, a: Drawn, b: Drawn, javascript?: string): Drawn {
  const weak = a.weak && b.weak
  if (a.known && b.known) return node(type, pattern, [a, b], weak)
  return node(type, pattern, [typed(type, a), typed(type, b)], weak, javascript)
}

function whole(choose: Choices, type: "i32" | "u32", depth: number): Drawn | undefined {
  const part = (of: Type = type) => tree(choose, of, depth - 1)
  const signed = type === "i32"
  switch (choose.below(9)) {
    case 0: {
      const of = choose.of(["f32", signed ? "u32" : "i32", "bool"] as const)
      const from = part(of)
      const to = signed ? "toI32" : "toU32"
      // Between the integers the bits are kept, which is what a store does.
      return from.weak ? undefined : node(type, `${to}($0)`, [from], false, of === "f32" ? `${to}($0)` : "Number($0)")
    }
    case 1:
      return chosen(choose, type, depth)
    case 2: {
      const pattern = choose.of([
        "Math.trunc($0 / $1)",
        "Math.floor($0 / $1)",
        "Math.ceil($0 / $1)",
        "($0 / $1) | 0",
        "~~($0 / $1)",
      ])
      return binary(type, pattern, part(), part())
    }
    case 3:
      return binary(type, choose.of(["$0 % $1", "Math.min($0, $1)", "Math.max($0, $1)"]), part(), part())
    case 4: {
      const arg = part()
      const pattern = choose.of(["-$0", "~$0", "Math.abs($0)", "Math.sign($0)", "Math.floor($0)", "Math.round($0)"])
      return node(type, pattern, [arg], arg.weak)
    }
    case 5:
      return binary(type, "$0 * $1", part(), part(), "Math.imul($0, $1)")
    case 6: {
      if (signed) {
        const from = part()
        return node("i32", `$0 >>> ${choose.of([1, 7, 31, 33])}`, [from], from.weak)
      }
      // By a bit or more an i32 stays one; by none the same bits are a u32.
      const of = choose.of(["i32", "u32"] as const)
      const from = part(of)
      const by = choose.of(of === "i32" ? [0, 32] : [0, 5, 31])
      return from.weak ? undefined : node("u32", `$0 >>> ${by}`, [from], false)
    }
    default: {
      const pattern = choose.of([
        "$0 + $1",
        "$0 - $1",
        "$0 & $1",
        "$0 | $1",
        "$0 ^ $1",
        "$0 << $1",
        "$0 >> $1",
        "Math.imul($0, $1)",
      ])
      return binary(type, pattern, part(), part())
    }
  }
}

function chosen(choose: Choices, type: Type, depth: number): Drawn {
  const [c, a, b] = [condition(choose, depth - 1), tree(choose, type, depth - 1), tree(choose, type, depth - 1)]
  return node(type, "$0 ? $1 : $2", [c, typed(type, a), typed(type, b)], a.weak && b.weak)
}

function condition(choose: Choices, depth: number): Drawn {
  if (depth <= 0) return { text: "c", stored: "c", known: false, weak: false }
  const kind = choose.below(8)
  if (kind === 0) return node("bool", "!$0", [condition(choose, depth - 1)], false)
  if (kind === 1) {
    const pattern = choose.of(["$0 && $1", "$0 || $1", "$0 === $1", "$0 !== $1"])
    return node("bool", pattern, [condition(choose, depth - 1), condition(choose, depth - 1)], false)
  }
  const type = choose.of(["f32", "i32", "u32"] as const)
  const first = tree(choose, type, depth - 1)
  const a = first.weak ? leafOf(type) : first
  if (kind === 2) {
    const pattern = choose.of(["Number.isNaN($0)", "Number.isFinite($0)", "isNaN($0)", "Number.isInteger($0)"])
    return node("bool", pattern, [a], false)
  }
  const pattern = choose.of(["$0 < $1", "$0 <= $1", "$0 > $1", "$0 >= $1", "$0 === $1", "$0 !== $1"])
  return node("bool", pattern, [a, typed(type, tree(choose, type, depth - 1))], false)
}

const leafOf = (type: Type): Drawn => {
  const name = Object.keys(parameters).find((name) => parameters[name] === type)!
  return { text: name, stored: name, known: false, weak: false }
}

interface Program {
  readonly type: Type
  readonly text: string
  readonly stored: string
}

/** A function: an expression, or a block with a local, and branches that return. */
function program(numbers: readonly number[]): Program {
  const choose = new Choices(numbers)
  const type = choose.of(["f32", "f32", "i32", "i32", "u32", "bool"] as const)
  const one = () => (type === "bool" ? tree(choose, type, 3) : typed(type, tree(choose, type, 3)))
  const heads = Object.entries(parameters).map(([name, t]) => `${name}: ${t === "bool" ? "boolean" : "number"}`)
  const made = (text: string, stored: string) => ({ type, text: `(${heads.join(", ")}) => ${text}`, stored })
  const shape = choose.below(4)
  if (shape === 0) {
    const [when, yes, no, other, more] = [condition(choose, 2), one(), one(), one(), condition(choose, 1)]
    return made(
      `{ if (${when.text}) return ${yes.text}; if (${more.text}) { return ${no.text} } else return ${other.text} }`,
      `{ if (${when.stored}) return ${yes.stored}; if (${more.stored}) { return ${no.stored} } else return ${other.stored} }`,
    )
  }
  if (shape === 1) {
    const [local, rest, when] = [tree(choose, "f32", 2), one(), condition(choose, 1)]
    const read = type === "f32" ? "z" : type === "bool" ? "z > x" : type === "i32" ? "toI32(z)" : "toU32(z)"
    if (local.weak) return made(rest.text, rest.stored)
    return made(
      `{ const z = ${local.text}; if (${when.text}) { const w = ${rest.text}; return w } return ${read} }`,
      `{ const z = ${local.stored}; if (${when.stored}) { const w = ${rest.stored}; return w } return ${read} }`,
    )
  }
  const { text, stored } = one()
  return made(text, stored)
}

const library = {
  f: Math.fround,
  s: (v: number) => v | 0,
  u: (v: number) => v >>> 0,
  toI32: (v: number) => saturated(v, -(2 ** 31), 2 ** 31 - 1),
  toU32: (v: number) => saturated(v, 0, 2 ** 32 - 1),
  ...captured,
}
const saturated = (v: number, least: number, most: number) => Math.max(least, Math.min(most, Math.trunc(v) || 0))

const points = {
  f32: [
    0, -0, 0.5, -0.5, 1.5, 2.5, -2.5, 0.49999997, -0.49999997, 8388609, -8388607.5, 4194303.5, 3e38, 1e-40, 7.25, -3,
  ],
  i32: [0, 1, -1, 7, -7, 2147483647, -2147483648, 123456, -3, 2],
  u32: [0, 1, 7, 4294967295, 2147483648, 3, 65535],
  bool: [0, 1],
  special: [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY],
}

test("random scalar functions are what JavaScript computes, or are refused", { timeout: 900_000 }, () => {
  const count = runs(700)
  console.log(`the meaning of scalar functions: ${count} programs, WEFT_SEED=${seed}`)
  const draws = fc.array(fc.nat(9999), { minLength: 10, maxLength: 60, size: "max" })
  const programs = fc.sample(draws, { numRuns: count, seed }).map(program)
  const constants = Object.entries(captured).map(([name, value]) => `const ${name} = ${value}`)
  const lines = programs.map(({ text }, index) => `export const f${index} = ${text}`)
  const head = `import { bits, toF32, toI32, toU32 } from "./language/index.js"\n${constants.join("\n")}\n`
  const folder = temporaryProject({ "all.ts": head + lines.join("\n") })
  const { language } = openProject([join(folder, "all.ts")], { languageRoots })
  const source = language.program.getSourceFile(join(folder, "all.ts"))!
  const functions: ts.Node[] = []
  const visit = (node: ts.Node): void => {
    if (isScalarFunction(node, language.checker)) functions.push(node)
    else ts.forEachChild(node, visit)
  }
  visit(source)
  expect(functions).toHaveLength(programs.length)

  const refused = new Map<string, number>()
  programs.forEach(({ type, text, stored }, index) => {
    const lowered = lower(functions[index] as never, language)
    if (lowered.kind === "refused") throw new Error(`the front end refuses ${text}: ${lowered.refusal.message}`)
    const span = { file: "all.ts", line: 1, column: 1, length: 1, text: "" }
    const attached = __scalar((v: number) => v, { ...lowered, captures: () => captured, span })
    const names = Object.keys(parameters)
    withTable(() => {
      let compiled: (...values: number[]) => number
      try {
        const body = typeScalar(
          attached,
          names.map((name) => parameters[name]!),
          type,
          undefined,
        )
        if (body.dtype !== type) throw new WeftError("trace/value-type", body.dtype)
        compiled = compileScalar(
          body,
          names.map((_, i) => `$${i}`),
        )
      } catch (error) {
        if (!(error instanceof WeftError)) throw new Error(`untyped: ${error}\n${text}`)
        refused.set(error.code, (refused.get(error.code) ?? 0) + 1)
        return
      }
      const javascript = new Function(...Object.keys(library), `return (${names.join(", ")}) => ${stored}`)(
        ...Object.values(library),
      )
      for (let n = 0; n < 40; n++) {
        const at = (values: readonly number[], by: number) => values[(n * by + index) % values.length]!
        const values = names.map((name, k) => {
          const of = parameters[name]!
          if (of === "f32" && (n + k) % 7 === 0) return at(points.special, 1)
          return of === "f32" ? Math.fround(at(points.f32, 3 + k)) : at(points[of], 3 + k)
        })
        const given = values.map((value, k) => (parameters[names[k]!] === "bool" ? value === 1 : value))
        const [found, wanted] = [compiled(...values), Number(javascript(...given))]
        if (!(Object.is(found, wanted) || found === wanted))
          throw new Error(
            `${text}\n  at ${values}: ${found}, and JavaScript has ${wanted}\n  ${stored}\n  WEFT_SEED=${seed}`,
          )
      }
    })
  })
  const total = [...refused.values()].reduce((sum, n) => sum + n, 0)
  console.log(`refused: ${[...refused].map(([code, n]) => `${code} ${n}`).join(", ")}`)
  expect(total).toBeLessThan(programs.length * 0.3)
})
