/**
 * Prints expressions. An expression is a graph, so a node that a statement uses twice becomes a `let` before the statement and the text
 * stays as small as the graph.
 *
 *   store y[i] ← (x[i] - m) * (x[i] - m)
 *   → let t1 = x[i] - m;
 *     y[i] = t1 * t1;
 *
 * WGSL has no vectors of 8: such an expression is printed as two halves of 4 (`lowered`). Offsets become unit indices (arrays.ts). An
 * operation on constants only goes through a `let`, for WGSL evaluates constant expressions itself and refuses an infinite result.
 */
import { fault } from "../../../runtime/errors.js"
import {
  add,
  apply,
  fetch,
  isLiteral,
  lane,
  literal,
  operands,
  ramp,
  rebuild,
  splat,
  variable,
  vector,
} from "../../ir/expression.js"
import { packed } from "../../ir/loop.js"
import type { Expression, Fetch } from "../../ir/nodes.js"
import type { Operation } from "../../ir/operations.js"
import { expand } from "../expand.js"
import { type ArrayLayout, unitIndex } from "./arrays.js"
import type { Library } from "./library.js"
import type { Names } from "./names.js"
import { narrowed, wgslOperations, widened } from "./operations.js"
import { isNonNegative } from "./signs.js"
import { argument, bare, literalText, typeText } from "./types.js"

/** What the printer of a kernel knows at a point of its body. */
export interface Context {
  readonly names: Names
  readonly library: Library
  readonly layouts: ReadonlyMap<string, ArrayLayout>
  /** Values of the variables of loops that are being unrolled. */
  readonly unrolled: Map<string, Expression>
  readonly nonNegative: Set<string>
  /** What names stand for that nothing is assigned to: a shader compiler sees through them. */
  readonly definitions: Map<string, Expression>
  readonly lacks: ReadonlySet<Operation>
  readonly expanded: Map<Expression, Expression>
  readonly line: (text: string) => void
  readonly temporary: () => string
}

/** Nesting of parentheses beyond which a subexpression gets a name. */
const deepest = 24
const components = "xyzw"

/** One or two expressions of at most 4 lanes, with offsets in units. */
export function lowered(context: Context, root: Expression): readonly Expression[] {
  const narrowMemo = new Map<Expression, Expression>()
  const halfMemo = [new Map<Expression, Expression>(), new Map<Expression, Expression>()] as const

  const remember = (memo: Map<Expression, Expression>, x: Expression, make: () => Expression): Expression => {
    const known = memo.get(x)
    if (known !== undefined) return known
    const made = make()
    memo.set(x, made)
    return made
  }
  const narrow = (x: Expression): Expression =>
    remember(narrowMemo, x, () => {
      if (x.kind === "variable") return context.unrolled.get(x.name) ?? x
      if (x.kind === "lane" && x.of.width === 8) return lane(half(x.of, x.lane >> 2), x.lane & 3)
      if (x.kind === "fetch") return unitFetch(context, x, narrow(x.offset))
      return rebuild(x, operands(x).map(narrow))
    })
  const half = (x: Expression, h: number): Expression =>
    x.width !== 8 ? narrow(x) : remember(halfMemo[h]!, x, () => halved(x, h))
  const halved = (x: Expression, h: number): Expression => {
    switch (x.kind) {
      case "operation":
        return apply(x.operation, ...x.args.map((a) => half(a, h)))
      case "variable":
        return variable(halfName(x.name, h), x.dtype, 4)
      case "splat":
        return splat(narrow(x.of), 4)
      case "ramp":
        return ramp(add(narrow(x.of), literal(4 * h)), 4)
      case "vector":
        return vector(x.args.slice(4 * h, 4 * h + 4).map(narrow))
      case "fetch": {
        const layout = context.layouts.get(x.array)!
        if (layout.unit < 8)
          return unitFetch(context, fetch(x.array, x.offset, x.dtype, 4), add(narrow(x.offset), literal(4 * h)))
        wordsOf(x, layout)
        return halfMemo[h]!.get(x)!
      }
      default:
        throw fault(`'${x.kind}' of width ${x.width} does not occur in the loop language`)
    }
  }
  /** Eight packed values are one load of four words, shared by both halves. */
  const wordsOf = (x: Fetch, layout: ArrayLayout) => {
    const [index] = printed(context, [unitIndex(narrow(x.offset), 8)])
    const words = context.temporary()
    context.line(`let ${words} = ${context.names.find(x.array)}[${bare(index!)}];`)
    for (const [h, part] of ["xy", "zw"].entries()) {
      const name = context.temporary()
      context.line(`let ${name} = ${widen(context, layout, 4)}(${words}.${part});`)
      halfMemo[h]!.set(x, variable(`=${name}`, "f32", 4))
    }
  }
  const whole = expand(root, context.lacks, context.expanded)
  return whole.width === 8 ? [half(whole, 0), half(whole, 1)] : [narrow(whole)]
}

export const halfName = (name: string, h: number) => `${name}\u0000${h}`

/** The fetch with its offset in units; one packed element is selected from its pair. */
function unitFetch(context: Context, x: Fetch, offset: Expression): Expression {
  const layout = context.layouts.get(x.array)
  if (layout === undefined) throw fault(`'${x.array}' is neither a buffer nor an allocation`)
  if (!packed(layout.storage) || x.width > 1)
    return fetch(x.array, unitIndex(offset, Math.min(layout.unit, x.width)), x.dtype, x.width)
  const pair = fetch(x.array, apply("shr", offset, literal(1)), x.dtype, 2)
  const odd = apply("eq", apply("bitand", offset, literal(1)), literal(1))
  return apply("select", odd, lane(pair, 1), lane(pair, 0))
}

const widen = (context: Context, layout: ArrayLayout, width: number) =>
  context.library.use(`widen${layout.storage === "bf16" ? "Bf16" : "F16"}${width === 4 ? "x4" : ""}`)

/**
 * The texts of lowered expressions of one statement; the `let`s they need are written before. The `named` ones are atoms that can be
 * repeated and do not change while the statement runs.
 */
export function printed(context: Context, roots: readonly Expression[], named: readonly Expression[] = []): string[] {
  const uses = countUses(context, roots)
  for (const x of named) uses.set(x, 2)
  const texts = new Map<Expression, Printed>()

  const visit = (x: Expression): Printed => {
    const known = texts.get(x)
    if (known !== undefined) return known
    const inner = printedOperands(x).map(visit)
    if (x.kind === "operation" && x.args.every(isConstant))
      inner[0] = { text: bind(inner[0]!.text), depth: 0, half: undefined }
    const args = inner.map((i) => i.text)
    const half = x.kind === "operation" && x.operation === "half" ? halfText(x, inner) : undefined
    const text = half === undefined ? nodeText(context, x, args) : widened(half, x.width)
    const depth = 1 + inner.reduce((d, i) => Math.max(d, i.depth), 0)
    const shared = (uses.get(x) ?? 0) > 1 && !isAtom(x)
    const made = shared || depth > deepest ? { text: bind(text), depth: 0, half: undefined } : { text, depth, half }
    texts.set(x, made)
    return made
  }
  const bind = (text: string): string => {
    const name = context.temporary()
    context.line(`let ${name} = ${bare(text)};`)
    return name
  }
  return roots.map((x) => visit(x).text)
}

const isAtom = (x: Expression): boolean =>
  x.kind === "literal" || x.kind === "symbol" || x.kind === "variable" || (x.kind === "splat" && isAtom(x.of))

/** A constant expression of WGSL: it may not overflow. */
function isConstant(x: Expression): boolean {
  return (
    x.kind === "literal" ||
    (x.kind !== "operation" && operands(x).length > 0 && x.kind !== "fetch" && operands(x).every(isConstant))
  )
}

/** How often each node is used; an index that a text repeats counts twice. */
function countUses(context: Context, roots: readonly Expression[]): Map<Expression, number> {
  const uses = new Map<Expression, number>()
  const use = (x: Expression) => {
    const before = uses.get(x) ?? 0
    uses.set(x, before + 1)
    if (before > 0) return
    for (const o of printedOperands(x)) use(o)
    if (x.kind === "fetch" && x.width > context.layouts.get(x.array)!.unit && !isLiteral(x.offset))
      uses.set(x.offset, 2)
  }
  for (const x of roots) use(x)
  return uses
}

function nodeText(context: Context, x: Expression, args: readonly string[]): string {
  switch (x.kind) {
    case "literal":
      return literalText(x)
    case "variable":
      if (x.name[0] === "=") return x.name.slice(1)
      return found(context, x.name)
    case "symbol":
      return found(context, symbolKey(x.name))
    case "operation":
      return operationText(context, x, args)
    case "fetch":
      return fetchText(context, x, args[0]!)
    case "splat":
    case "vector":
      return `${typeText(x.dtype, x.width)}(${args.map(argument).join(", ")})`
    case "ramp":
      return `(${typeText("i32", x.width)}(${argument(args[0]!)}) + ${typeText("i32", x.width)}(${[0, 1, 2, 3].slice(0, x.width).join(", ")}))`
    case "lane":
      return `${args[0]}.${components[x.lane]}`
    default:
      throw fault(`'${x.kind}' does not occur in the loop language`)
  }
}

export const symbolKey = (name: string) => `$${name}`

function found(context: Context, name: string): string {
  const spelled = context.names.find(name)
  if (spelled === undefined) throw fault(`'${name}' is not bound here`)
  return spelled
}

/** A node as text, of f16 too where it is half(…). */
interface Printed {
  readonly text: string
  readonly depth: number
  readonly half: string | undefined
}

const inHalves: Partial<Record<Operation, string>> = { add: "+", sub: "-", mul: "*" }

/** half(a op b) of two halves is one operation of f16. */
function halfOperation(x: Expression): { readonly sign: string; readonly args: readonly Expression[] } | undefined {
  const [inner] = x.kind === "operation" && x.operation === "half" ? x.args : []
  if (inner?.kind !== "operation") return undefined
  const sign = inHalves[inner.operation]
  const halves = inner.args.every((a) => a.kind === "operation" && a.operation === "half")
  return sign !== undefined && halves ? { sign, args: inner.args } : undefined
}

/** half(…) as a value of f16. */
function halfText(x: Expression, operands: readonly Printed[]): string {
  const native = halfOperation(x)
  if (native === undefined) return narrowed(operands[0]!.text, x.width)
  const [a, b] = operands.map(({ half, text }) => half ?? narrowed(text, x.width))
  return `(${a} ${native.sign} ${b})`
}

/** max(min(x, high), low) between numbers other than 0, where only x may be NaN. */
function boundedOperation(x: Expression): { readonly args: readonly Expression[] } | undefined {
  if (x.kind !== "operation" || x.dtype !== "f32" || (x.operation !== "max" && x.operation !== "min")) return undefined
  const [inner, outer] = x.args as [Expression, Expression]
  const other = x.operation === "max" ? "min" : "max"
  if (inner.kind !== "operation" || inner.operation !== other) return undefined
  const [of, bound] = inner.args as [Expression, Expression]
  const [low, high] = x.operation === "max" ? [outer, bound] : [bound, outer]
  const number = (e: Expression) => {
    const plain = e.kind === "splat" ? e.of : e
    return isLiteral(plain) && plain.value !== 0 ? plain.value : Number.NaN
  }
  return number(low) <= number(high) ? { args: [of, low, high] } : undefined
}

const printedOperands = (x: Expression): readonly Expression[] =>
  halfOperation(x)?.args ?? boundedOperation(x)?.args ?? operands(x)

/** The operand of `x` that a shader compiler could cancel with another, if one is: x − x, x / x, (x + y) − x, x · 0. */
function cancels(x: Expression & { kind: "operation" }, definitions: Context["definitions"]): number | undefined {
  if (x.dtype !== "f32" || x.args.length !== 2) return undefined
  const seen = (e: Expression) => seenThrough(e, definitions)
  const [a, b] = x.args as [Expression, Expression]
  const isZero = (e: Expression) => (e.kind === "splat" ? isZeroLiteral(e.of) : isZeroLiteral(e))
  const has = (given: Expression, term: Expression) => {
    const sum = seen(given)
    const terms = sum.kind === "operation" && (sum.operation === "add" || sum.operation === "sub") ? sum.args : []
    return terms.some((t) => seen(t) === seen(term))
  }
  switch (x.operation) {
    case "mul":
      return isZero(a) ? 0 : isZero(b) ? 1 : undefined
    case "div":
      return seen(a) === seen(b) ? 1 : isZero(a) ? 0 : undefined
    case "add":
    case "sub":
      if (has(a, b)) return 0
      return has(b, a) || (x.operation === "sub" && seen(a) === seen(b)) ? 1 : undefined
    default:
      return undefined
  }
}

/** The value that has a name, or whose bits are taken and given back, signs changed or numbers spread out: compilers see through these. */
function seenThrough(x: Expression, definitions: Context["definitions"]): Expression {
  const inner = (): Expression | undefined => {
    if (x.kind === "splat") return x.of
    if (x.kind === "variable") return definitions.get(x.name)
    if (x.kind !== "operation") return undefined
    const [first] = x.args
    if (x.operation === "neg") return first
    const back = x.operation === "fromBits" && first!.kind === "operation" && first!.operation === "bits"
    return back ? first.args[0] : undefined
  }
  const of = inner()
  return of === undefined ? x : seenThrough(of, definitions)
}

const isZeroLiteral = (x: Expression): boolean => isLiteral(x) && x.value === 0

/** A value that is what it was, but no compiler knows. */
const hidden = (text: string, width: number): string => {
  const word = typeText("u32", width)
  return `bitcast<${typeText("f32", width)}>(bitcast<${word}>(${argument(text)}) | ${word}(bitcast<u32>(zero)))`
}

/** Whether a value of f32 is known to be below 2^125 in size, or no number. */
function isModerate(x: Expression): boolean {
  if (isLiteral(x)) return Math.abs(x.value) < 2 ** 125
  // A root is below 2^64, or infinite: what is divided by it is 0 then, as it should be.
  return x.kind === "operation" && x.operation === "sqrt"
}

function operationText(context: Context, x: Expression & { kind: "operation" }, given: readonly string[]): string {
  // Compilers of shaders may take for granted that there is no NaN and no infinity.
  const at = cancels(x, context.definitions)
  const texts = given.map((text, i) => (i === at ? hidden(text, x.args[i]!.width) : text))
  if (boundedOperation(x) !== undefined)
    return `${context.library.useWide("bounded", x.width)}(${texts.map(argument).join(", ")})`
  const condition = x.operation === "select" && x.args[0]!.width === 1
  const args = texts.map((text, i) => {
    const a = x.args[i]!
    return a.width === x.width || (condition && i === 0) ? text : `${typeText(a.dtype, x.width)}(${argument(text)})`
  })
  const second = x.args[1]?.kind === "splat" ? x.args[1].of : x.args[1]
  return wgslOperations[x.operation]({
    args,
    dtype: x.args[x.operation === "select" ? 1 : 0]!.dtype,
    width: x.width,
    nonNegative: isNonNegative(x.args[0]!, context.nonNegative),
    literal: second !== undefined && isLiteral(second) ? second.value : undefined,
    moderate: second !== undefined && isModerate(second),
    helper: (stem) => context.library.useWide(stem, x.width),
  })
}

function fetchText(context: Context, x: Fetch, index: string): string {
  const layout = context.layouts.get(x.array)!
  const array = found(context, x.array)
  const unit = Math.min(layout.unit, x.width)
  const at = (i: number) => `${array}[${i === 0 ? bare(index) : shifted(index, i)}]`
  const units = Array.from({ length: x.width / unit }, (_, i) => at(i))
  if (packed(layout.storage)) {
    const parts = units.map((u) => `${widen(context, layout, unit)}(${u})`)
    return parts.length === 1 ? parts[0]! : `vec4<f32>(${parts.join(", ")})`
  }
  const stored = typeText(layout.dtype === "bool" ? "u32" : layout.dtype, x.width)
  const whole = units.length === 1 ? units[0]! : `${stored}(${units.join(", ")})`
  return layout.dtype === "bool" ? `(${whole} != ${stored}())` : whole
}

export const shifted = (index: string, by: number): string =>
  /^[0-9]+$/.test(index) ? String(Number(index) + by) : `${index} + ${by}`
