import {
  add,
  apply,
  fetch,
  freeVariables,
  literal,
  mul,
  rewrite,
  rewriter,
  substitute,
  variable,
  walk,
} from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import { everyStatement, expressionsOf, mapExpressions, withBodies, withExpressions } from "../../ir/loop-visit.js"
import type { Expression } from "../../ir/nodes.js"
import type { DType } from "../../ir/operations.js"

type For = Extract<Statement, { kind: "for" }>

/** Replaces all lane loops; statements must have unique names. */
export function splitLanes(statements: readonly Statement[], lanes: number): readonly Statement[] {
  return statements.flatMap((s): readonly Statement[] => {
    if (s.kind === "for" && s.bind === "lane") return splitLoop(s, lanes)
    return s.kind === "barrier" ? [] : [withBodies(s, (body) => splitLanes(body, lanes))]
  })
}

const synchronises = (s: Statement): boolean => everyStatement([s]).some((x) => x.kind === "barrier")

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

  const value = rewriter((x, again) => {
    if (x.kind === "variable" && crossing(x.name)) return fetch(x.name, row(x.name, literal(0)), x.dtype, x.width)
    if (x.kind === "fetch" && crossing(x.array)) return fetch(x.array, row(x.array, again(x.offset)), x.dtype, x.width)
    return undefined
  })
  const offsetOf = (array: string, offset: Expression) => (crossing(array) ? row(array, value(offset)) : value(offset))

  const inside = (s: Statement): Statement => {
    if (s.kind === "store") return { ...s, offset: offsetOf(s.array, s.offset), value: value(s.value) }
    if ((s.kind === "let" || s.kind === "assign") && crossing(s.name))
      return { kind: "store", array: s.name, offset: row(s.name, literal(0)), value: value(s.value) }
    return withBodies(withExpressions(s, value), (body) => body.map(inside))
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
        body: piece.map((s) => mapExpressions(s, (x) => substitute(x, own))),
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
        if (s.kind !== "barrier") made.push(withBodies(withExpressions(s, uniform), pieces))
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
    if (s.kind !== "shuffle") return [withBodies(s, (body) => withoutShuffles(body, lane, lanes))]
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
      if (s.kind === "store") use(s.array, here)
      for (const x of expressionsOf(s)) see(x, here)
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
