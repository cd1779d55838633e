/**
 * The steps of a group of lanes over the fold: what they read of the weights, several steps at once, and what they multiply it with.
 *
 *   4 × { words and scales of 2 rows };  4 × { for 8 products { a ← codes;  b ← x;  c += a · b };  sums += scale · c }
 */
import { literalExtent } from "../../../ir/dim.js"
import { add, apply, fetch, literal, mul, substitute, variable, vector } from "../../../ir/expression.js"
import { divided } from "../../../ir/linear.js"
import type { Place, Statement } from "../../../ir/loop.js"
import type { Expression } from "../../../ir/nodes.js"
import type { Lowerer, Scope } from "../../lowerer.js"
import { lowerValues } from "../../values.js"
import { readableAt } from "../places.js"
import { allocate } from "../registers.js"
import { chunksOf } from "../ring.js"
import { storeTerms } from "../staged.js"
import type { Filled, Plan } from "./plan.js"
import { elementOfPlace, piece, type Rows } from "./rows.js"
import { elementAt, one, simplified } from "./terms.js"

/** Emits all steps of a group. */
export function emitSteps(given: Plan, rows: Rows, sums: readonly string[], start: Scope, lowerer: Lowerer): void {
  const scope: Scope = { ...start, bound: new Set(start.bound) }
  const name = (stem: string, x: Expression) => named(lowerer.fresh(stem), x, scope, lowerer)
  const plan: Plan = {
    ...given,
    tall: given.tall.kind === "literal" ? given.tall : name("tall", given.tall),
    along: name("along", given.along),
    own: name("own", given.own),
    line: name("line", given.line),
  }
  const { of, step, unroll, shared, along } = plan
  const chunks = chunksOf(of.folded, step)
  const count = literalExtent(chunks.count)!
  const turns = Math.ceil(Math.min(count, plan.part) / (unroll * shared))
  const [turn, part] = [lowerer.fresh("turn"), lowerer.fresh("part")]
  const body: Statement[] = []
  const parts = Math.ceil(count / plan.part)
  const begin = parts === 1 ? literal(0) : mul(variable(part), literal(plan.part))
  const bound = () => new Set(scope.bound).add(turn).add(part)
  const isEven = count % (unroll * shared) === 0 && count % plan.part === 0
  const numbers = Array.from({ length: unroll }, (_, u) => {
    const here = add(mul(add(mul(variable(turn), literal(unroll)), literal(u)), literal(shared)), along)
    return { here, number: add(here, begin) }
  })
  const registers = openRegisters(plan, scope, lowerer)
  const lines = emitLines(plan, scope, lowerer)
  const emit = (which: typeof numbers, out: Statement[]) => {
    const inside: Scope = { ...scope, out, bound: bound() }
    const steps = which.map(({ here, number }) => stepAt(plan, here, number, lines, inside, lowerer))
    const read = lowerValues(
      steps.flatMap((s) => s.values),
      inside,
      lowerer,
    )
    for (const [i, s] of steps.entries()) {
      const own = read.slice(i * s.values.length, (i + 1) * s.values.length)
      emitStep(plan, { ...s, read: own }, rows, registers, sums, inside, lowerer)
    }
  }
  if (isEven) emit(numbers, body)
  else
    for (const each of numbers) {
      const own: Statement[] = []
      emit([each], own)
      body.push({ kind: "if", condition: apply("lt", each.number, literal(count)), body: own, otherwise: [] })
    }
  const loop: Statement = { kind: "for", variable: turn, extent: literal(turns), bind: "serial", body }
  if (rows.bring === undefined) {
    scope.out.push(loop)
    return
  }
  const each: Statement[] = []
  rows.bring(begin, { ...scope, out: each, bound: new Set(scope.bound).add(part) })
  each.push(loop)
  scope.out.push({ kind: "for", variable: part, extent: literal(parts), bind: "serial", body: each })
}

/** Fragments that are filled again and again. */
interface Registers {
  /** Of each term of weights. */
  readonly a: readonly string[]
  readonly ones: string | undefined
  readonly b: string
  /** Of each fold and row of fragments, each of its terms: products of a stretch. */
  readonly c: (fold: number, down: number, term: number) => string
}

function openRegisters(plan: Plan, scope: Scope, lowerer: Lowerer): Registers {
  const { atom, filled, across, down } = plan
  const open = (operand: "a" | "b" | "c", stem: string, size: number) =>
    allocate({ groups: { atom } }, operand, stem, size, scope.out, lowerer)
  const terms = Math.max(...filled.flat().map((t) => t.terms))
  const a = Array.from({ length: terms }, () => open("a", "weight", 8))
  const hasOnes = !plan.isRounded && filled.flat().some((t) => t.value === one)
  const ones = hasOnes ? open("a", "ones", 8) : undefined
  if (ones !== undefined)
    for (let e = 0; e < 8; e += 2)
      scope.out.push({ kind: "store", array: ones, offset: literal(e), value: vector([one, one]) })
  const b = open("b", "row", 8 * across)
  const made = new Map<string, string>()
  if (plan.isOwn)
    for (const [fold, own] of filled.entries())
      for (let i = 0; i < down; i++)
        for (const [term, { value }] of own.entries()) {
          const key = value === one ? "ones" : `${fold} ${i} ${term}`
          if (!made.has(key)) made.set(key, open("c", "product", 4 * across))
        }
  const c: Registers["c"] = (fold, i, term) =>
    made.get(filled[fold]![term]!.value === one ? "ones" : `${fold} ${i} ${term}`)!
  return { a, ones, b, c }
}

/** Where the rows of a lane are: two of each fragment. */
type Lines = readonly ReadonlyMap<string, Expression>[]

/** The rows of a lane under names: what is read of them shows how it is aligned then. */
function emitLines({ down, rows, tall, line }: Plan, scope: Scope, lowerer: Lowerer): Lines {
  return Array.from({ length: 2 * down }, (_, i) => {
    const row = add(add(mul(tall, literal(16 * down)), literal(8 * i)), line)
    const at = [...readableAt(rows, row)]
    return new Map(at.map(([name, x]) => [name, named(lowerer.fresh(name), x, scope, lowerer)] as const))
  })
}

/** A value under a name that may occur from here on. */
function named(name: string, value: Expression, scope: Scope, lowerer: Lowerer): Expression {
  const [lowered] = lowerValues([value], scope, lowerer)
  scope.out.push({ kind: "let", name, value: lowered!, mutable: false })
  ;(scope.bound as Set<string>).add(name)
  return variable(name)
}

/** A step: what is read of it, in the order of folds, rows of fragments, rows of a lane, terms. */
interface Step {
  /** Its number among those whose rows memory holds. */
  readonly number: Expression
  readonly values: readonly Expression[]
  /** Where in them an element of a term is, and the factor of a stretch of equal ones. */
  readonly element: (fold: number, down: number, high: number, term: number, at: number) => number
  readonly factor: (fold: number, down: number, high: number, term: number, part: number) => number
}

function stepAt(plan: Plan, here: Expression, number: Expression, lines: Lines, scope: Scope, lowerer: Lowerer): Step {
  const { of, stretch, even, filled, down, own, step } = plan
  const { base, outer, axis, extent } = chunksOf(of.folded, step).at(number)
  const known = literalExtent(extent)!
  const whole = known % stretch === 0
  const name = lowerer.fresh("stretch")
  const found = add(divided(base, stretch)!.quotient, own)
  const last = Math.floor((known - 1) / stretch)
  const inside = known % step === 0 ? found : apply("min", found, literal(last))
  const at = named(name, inside, scope, lowerer)
  const places = new Map([...outer].map(([n, x]) => [n, named(lowerer.fresh(n), x, scope, lowerer)] as const))
  const values: Expression[] = []
  const positions = new Map<string, number>()
  const note = (key: string, x: Expression) => {
    positions.set(key, values.length)
    values.push(x)
  }
  for (const [fold, terms] of filled.entries())
    for (let i = 0; i < down; i++)
      for (const high of [0, 1]) {
        const here = new Map([...plan.fixed, ...lines[2 * i + high]!, ...places])
        for (const [term, { value, factor }] of terms.entries()) {
          const key = `${fold} ${i} ${high} ${term}`
          const [v, f] = [substitute(value, here), substitute(factor, here)]
          for (let e = 0; e < stretch && value !== one; e++) {
            const clamped = apply("min", add(mul(at, literal(stretch)), literal(e)), literal(known - 1))
            const own = whole
              ? elementAt(v, axis, at, stretch, e)
              : simplified(substitute(v, new Map([[axis, clamped]])))
            note(`${key} element ${e}`, own)
          }
          for (let p = 0; p < stretch / even && factor !== one; p++)
            note(`${key} factor ${p}`, elementAt(f, axis, at, stretch, p * even))
        }
      }
  return {
    number: here,
    values,
    element: (fold, i, high, term, e) => positions.get(`${fold} ${i} ${high} ${term} element ${e}`)!,
    factor: (fold, i, high, term, p) => positions.get(`${fold} ${i} ${high} ${term} factor ${p}`)!,
  }
}

/** The products of a step. */
function emitStep(
  plan: Plan,
  step: Step & { readonly read: readonly Expression[] },
  rows: Rows,
  registers: Registers,
  sums: readonly string[],
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { even, stretch, isOwn, filled, down } = plan
  const starts = startsOf(plan, step.number, rows, scope, lowerer)
  for (let part = 0; part < stretch / even; part++) {
    for (let p = 0; p < even / piece; p++) {
      const from = part * even + p * piece
      for (const [j, start] of starts.entries())
        scope.out.push({
          kind: "store",
          array: registers.b,
          offset: literal(8 * j),
          value: fetch(rows.array, add(start, literal((isOwn ? 1 : 4) * from)), "f32", piece),
        })
      for (const half of [0, 1])
        emitProducts(plan, step, registers, sums, from + 4 * half, p + half === 0, scope, lowerer)
    }
    if (isOwn)
      for (const [fold, terms] of filled.entries())
        for (let i = 0; i < down; i++) emitFactors(plan, step, registers, sums[fold]!, { fold, i, part, terms }, scope)
  }
}

/** Where lanes find what they multiply with: of each fragment of b. */
function startsOf(
  plan: Plan,
  number: Expression,
  { stride }: Rows,
  scope: Scope,
  lowerer: Lowerer,
): readonly Expression[] {
  const { lines, isOwn, across, stretch, step, own, line } = plan
  return Array.from({ length: across }, (_, j) => {
    const row = isOwn
      ? add(literal(2 * j), apply("floormod", line, literal(2)))
      : lines === 1
        ? literal(0)
        : apply("min", add(literal(8 * j), line), literal(lines - 1))
    const there = add(
      mul(row, literal(stride)),
      add(mul(number, literal(step)), mul(own, literal(isOwn ? stretch : piece))),
    )
    const name = lowerer.fresh("start")
    const isMine = apply("eq", apply("floordiv", line, literal(2)), own)
    const isRow = 2 * j + 1 < lines ? isMine : apply("and", isMine, apply("lt", row, literal(lines)))
    const value = isOwn ? apply("select", isRow, there, literal(lines * stride)) : there
    const [lowered] = lowerValues([value], scope, lowerer)
    scope.out.push({ kind: "let", name, value: lowered!, mutable: false })
    return mul(variable(name), literal(1))
  })
}

/** One product of each fragment of weights: the elements of a lane from `from` on, four of each of its rows. */
function emitProducts(
  plan: Plan,
  step: Step & { readonly read: readonly Expression[] },
  registers: Registers,
  sums: readonly string[],
  from: number,
  isFirst: boolean,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { atom, filled, down, across, apart, isOwn, isRounded } = plan
  const { element, read } = step
  const inPiece = from % piece
  let hasOnes = false
  // The smallest terms first.
  const multiply = (c: Place, a: readonly string[], j: number, fresh: boolean) => {
    for (const [n, array] of [...a].reverse().entries())
      scope.out.push({
        kind: "multiply",
        atom: atom.name,
        ...(fresh && n === 0 ? { fresh } : {}),
        c,
        a: { array, offset: literal(0) },
        b: { array: registers.b, offset: literal(8 * j + inPiece) },
      })
  }
  const multiplyWhole = (fold: number, i: number) => {
    const fill = (offset: number, from: number) => {
      const at = [0, 1].map((b) => wholeAt(plan, step, fold, i, offset & 2, elementOfPlace(from + b, apart)))
      storeTerms(registers.a.slice(0, 1), literal(offset), vector(at), scope.out, lowerer)
    }
    for (const high of [0, 1]) for (const h of [0, 1]) fill(2 * high + 4 * h, from + 2 * h)
    for (let j = 0; j < across; j++)
      multiply({ array: sums[fold]!, offset: literal(4 * (i * across + j)) }, registers.a.slice(0, 1), j, false)
  }
  for (const [fold, terms] of filled.entries())
    for (let i = 0; i < down; i++) {
      if (isRounded) {
        multiplyWhole(fold, i)
        continue
      }
      for (const [term, t] of terms.entries()) {
        const isOnes = t.value === one
        if (isOnes && hasOnes) continue
        hasOnes ||= isOnes
        const a = isOnes ? [registers.ones!] : registers.a.slice(0, t.terms)
        if (!isOnes)
          for (const high of [0, 1])
            for (const h of [0, 1]) {
              const at = [0, 1].map((b) => read[element(fold, i, high, term, elementOfPlace(from + 2 * h + b, apart))]!)
              storeTerms(a, literal(2 * high + 4 * h), vector(at), scope.out, lowerer)
            }
        for (let j = 0; j < across; j++) {
          const c: Place = isOwn
            ? { array: registers.c(fold, i, term), offset: literal(4 * j) }
            : { array: sums[fold]!, offset: literal(4 * (i * across + j)) }
          multiply(c, a, j, isOwn && isFirst)
        }
      }
    }
}

/** An element of a weight as the sum of its terms. */
function wholeAt(
  { filled, even }: Plan,
  { element, factor, read }: Step & { readonly read: readonly Expression[] },
  fold: number,
  i: number,
  line: number,
  at: number,
): Expression {
  const high = line >> 1
  const terms = filled[fold]!.map(({ value, factor: by }, term) => {
    const x = value === one ? one : read[element(fold, i, high, term, at)]!
    if (by === one) return x
    const y = read[factor(fold, i, high, term, Math.floor(at / even))]!
    return x === one ? y : mul(y, x)
  })
  return terms.reduce((x, y) => add(x, y))
}

/** Adds the products of a stretch to sums, each times its factor. */
function emitFactors(
  { across, lines }: Plan,
  { factor, read }: Step & { readonly read: readonly Expression[] },
  registers: Registers,
  to: string,
  {
    fold,
    i,
    part,
    terms,
  }: { readonly fold: number; readonly i: number; readonly part: number; readonly terms: readonly Filled[] },
  scope: Scope,
): void {
  for (let j = 0; j < across; j++)
    for (let e = 0; e < 4; e++) {
      if (2 * j + (e & 1) >= lines) continue
      const offset = literal(4 * (i * across + j) + e)
      const value = terms.reduce<Expression>(
        (sum, t, term) => {
          const c = fetch(registers.c(fold, i, term), literal(4 * j + e), "f32")
          return add(sum, t.factor === one ? c : mul(read[factor(fold, i, e >> 1, term, part)]!, c))
        },
        fetch(to, offset, "f32"),
      )
      scope.out.push({ kind: "store", array: to, offset, value })
    }
}
