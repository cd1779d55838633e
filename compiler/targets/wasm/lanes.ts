/**
 * Lane loops as ordinary loops, cut at barriers: each piece without a barrier becomes a loop over the lanes.
 *
 *   for l < 32 lane { let x = f(l); s[l] = x; barrier; b[l] = s[31 − l] + x }
 *   →  for l < 32 { x'[l] = f(l); s[l] = x'[l] }   for l < 32 { b[l] = s[31 − l] + x'[l] }
 *
 * A `for` or `if` around a barrier runs the same for all lanes and goes outside of the lane loops. What a lane owns (variables, register
 * arrays) and uses in another piece than the one that declares it is kept in an array with one row per lane. A shuffle is a store by
 * every lane, a barrier, and a read from the partner.
 */
import { fault } from "../../../runtime/errors.js"
import { add, apply, fetch, freeVariables, literal, mul, rewrite, variable, walk } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"

type For = Extract<Statement, { kind: "for" }>

/** Replaces all lane loops; statements must have unique names. */
export function splitLanes(statements: readonly Statement[], lanes: number): readonly Statement[] {
  return statements.flatMap((s): readonly Statement[] => {
    if (s.kind === "for" && s.bind === "lane") return splitLoop(s, lanes)
    if (s.kind === "for" || s.kind === "block") return [{ ...s, body: splitLanes(s.body, lanes) }]
    if (s.kind === "if") return [{ ...s, body: splitLanes(s.body, lanes), otherwise: splitLanes(s.otherwise, lanes) }]
    return s.kind === "barrier" ? [] : [s]
  })
}

const synchronises = (s: Statement): boolean =>
  s.kind === "barrier" ||
  ((s.kind === "for" || s.kind === "block") && s.body.some(synchronises)) ||
  (s.kind === "if" && (s.body.some(synchronises) || s.otherwise.some(synchronises)))

/** Pieces are numbered in order; what stands around barriers (extents, conditions) belongs to none. */
const outside = -1

interface Owned {
  readonly piece: number
  readonly dtype: DType
  /** Elements per lane; vectors stay together. */
  readonly size: number
  crosses: boolean
}

function splitLoop(loop: For, lanes: number): readonly Statement[] {
  const lane = variable(loop.variable)
  const body = withoutShuffles(loop.body, lane, lanes)
  const owned = ownership(body)
  const row = (name: string, offset: Expression): Expression => add(mul(lane, literal(owned.get(name)!.size)), offset)
  const crossing = (name: string) => owned.get(name)?.crosses === true
  let copies = 0

  const memo = new Map<Expression, Expression>()
  const value = (x: Expression): Expression => rewrite(x, replace, memo)
  const replace = (x: Expression): Expression | undefined => {
    if (x.kind === "variable" && crossing(x.name)) return fetch(x.name, row(x.name, literal(0)), x.dtype, x.width)
    if (x.kind === "fetch" && crossing(x.array)) return fetch(x.array, row(x.array, value(x.offset)), x.dtype, x.width)
    return undefined
  }
  const offsetOf = (array: string, offset: Expression) => (crossing(array) ? row(array, value(offset)) : value(offset))

  const inside = (s: Statement): Statement => {
    switch (s.kind) {
      case "for":
        return { ...s, extent: value(s.extent), body: s.body.map(inside) }
      case "if":
        return { ...s, condition: value(s.condition), body: s.body.map(inside), otherwise: s.otherwise.map(inside) }
      case "block":
        return { ...s, body: s.body.map(inside) }
      case "let":
      case "assign":
        return crossing(s.name)
          ? { kind: "store", array: s.name, offset: row(s.name, literal(0)), value: value(s.value) }
          : { ...s, value: value(s.value) }
      case "store":
        return { ...s, offset: offsetOf(s.array, s.offset), value: value(s.value) }
      case "alloc":
      case "barrier":
        return s
      case "shuffle":
        throw fault(`'${s.kind}' is not in the core language`)
      default:
        return s satisfies never
    }
  }
  /** What all lanes do alike is decided by lane 0. */
  const uniform = (x: Expression) => rewrite(value(x), (y) => (y === lane ? literal(0) : undefined))

  const pieces = (statements: readonly Statement[]): readonly Statement[] => {
    const made: Statement[] = []
    let piece: Statement[] = []
    const close = () => {
      if (piece.length === 0) return
      const name = `${loop.variable}.${copies++}`
      const own = new Map([[loop.variable, variable(name)]])
      made.push({
        ...loop,
        variable: name,
        extent: literal(lanes),
        bind: "serial",
        body: piece.map((s) => rename(s, own)),
      })
      piece = []
    }
    for (const s of statements) {
      if (s.kind === "alloc" && s.space === "shared") made.push(s)
      else if (s.kind === "alloc" && crossing(s.name)) made.push({ ...s, size: owned.get(s.name)!.size * lanes })
      else if (!synchronises(s)) {
        if (s.kind === "let" && crossing(s.name)) {
          const { dtype, size } = owned.get(s.name)!
          made.push({ kind: "alloc", name: s.name, dtype, size: size * lanes, space: "register" })
        }
        piece.push(inside(s))
      } else {
        close()
        if (s.kind === "for") made.push({ ...s, extent: uniform(s.extent), body: pieces(s.body) })
        else if (s.kind === "block") made.push({ ...s, body: pieces(s.body) })
        else if (s.kind === "if")
          made.push({
            ...s,
            condition: uniform(s.condition),
            body: pieces(s.body),
            otherwise: pieces(s.otherwise),
          })
      }
    }
    close()
    return made
  }
  return pieces(body)
}

/** name = shuffle(x, mask)  →  x'[lane] = x; barrier; let name = x'[lane ^ mask]. */
function withoutShuffles(statements: readonly Statement[], lane: Expression, lanes: number): readonly Statement[] {
  return statements.flatMap((s): readonly Statement[] => {
    if (s.kind === "for" || s.kind === "block") return [{ ...s, body: withoutShuffles(s.body, lane, lanes) }]
    if (s.kind === "if")
      return [
        { ...s, body: withoutShuffles(s.body, lane, lanes), otherwise: withoutShuffles(s.otherwise, lane, lanes) },
      ]
    if (s.kind !== "shuffle") return [s]
    const { dtype, width } = s.value
    const array = `${s.name}.lanes`
    const at = (l: Expression) => mul(l, literal(width))
    const size = width * 2 ** Math.ceil(Math.log2(Math.max(lanes, s.mask + 1)))
    return [
      { kind: "alloc", name: array, dtype, size, space: "shared" },
      { kind: "store", array, offset: at(lane), value: s.value },
      { kind: "barrier" },
      {
        kind: "let",
        name: s.name,
        value: fetch(array, at(apply("bitxor", lane, literal(s.mask))), dtype, width),
        mutable: false,
      },
    ]
  })
}

/** What lanes own, with the piece that declares it, and whether another one uses it. */
function ownership(statements: readonly Statement[]): ReadonlyMap<string, Owned> {
  const owned = new Map<string, Owned>()
  let piece = 0
  const declare = (name: string, dtype: DType, size: number, current: number) =>
    owned.set(name, { piece: current, dtype, size, crosses: false })
  const use = (name: string, current: number) => {
    const found = owned.get(name)
    if (found !== undefined && found.piece !== current) found.crosses = true
  }
  const see = (x: Expression, current: number) => {
    for (const name of freeVariables(x)) use(name, current)
    walk(x, (y) => {
      if (y.kind === "fetch") use(y.array, current)
    })
  }
  const visit = (list: readonly Statement[], current: number | undefined): void => {
    for (const s of list) {
      const around = current === undefined && synchronises(s)
      const here = around ? outside : (current ?? piece)
      if (s.kind === "let") declare(s.name, s.value.dtype, s.value.width, here)
      if (s.kind === "alloc" && s.space === "register") declare(s.name, s.dtype, Math.ceil(s.size / 8) * 8, here)
      if (s.kind === "assign") use(s.name, here)
      if (s.kind === "store") {
        use(s.array, here)
        see(s.offset, here)
      }
      if ("value" in s) see(s.value, here)
      if (s.kind === "for") see(s.extent, here)
      if (s.kind === "if") see(s.condition, here)
      const inner = around ? undefined : here
      if (around) piece++
      if (s.kind === "for" || s.kind === "block" || s.kind === "if") {
        visit(s.body, inner)
        if (around) piece++
        if (s.kind === "if") visit(s.otherwise, inner)
        if (around) piece++
      }
    }
  }
  visit(statements, undefined)
  return owned
}

function rename(s: Statement, names: ReadonlyMap<string, Expression>): Statement {
  const value = (x: Expression) =>
    rewrite(x, (y) => (y.kind === "variable" ? (names.get(y.name) ?? undefined) : undefined))
  const inner = (list: readonly Statement[]) => list.map((x) => rename(x, names))
  switch (s.kind) {
    case "for":
      return { ...s, extent: value(s.extent), body: inner(s.body) }
    case "if":
      return { ...s, condition: value(s.condition), body: inner(s.body), otherwise: inner(s.otherwise) }
    case "block":
      return { ...s, body: inner(s.body) }
    case "let":
    case "assign":
    case "shuffle":
      return { ...s, value: value(s.value) }
    case "store":
      return { ...s, offset: value(s.offset), value: value(s.value) }
    case "alloc":
    case "barrier":
      return s
    default:
      return s satisfies never
  }
}
