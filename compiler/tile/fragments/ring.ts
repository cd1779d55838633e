/**
 * The loop over chunks: operands are copied to the workgroup's memory several chunks ahead, in a ring of stages, and fragments of the chunk that is
 * there are multiplied.
 *
 *   fill 0, 1;  for turn { wait but 1;  barrier;  fill turn + 2, where turn − 1 was;  4 × { a, b = fragments of turn;  c += a · b } }
 *
 * One barrier a chunk: behind it all lanes see what each has copied, and are done with the chunk that the next copy takes the place of. A chain of
 * sums in fragments that would become long is put aside from time to time: what is there is added up in f32, and takes no registers.
 */
import { literalExtent } from "../../ir/dim.js"
import { add, apply, fetch, literal, mul, variable } from "../../ir/expression.js"
import { type Atom, fragmentSize, isOpaque } from "../../ir/fragments/atoms.js"
import type { Place, Statement, Tile } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import type { Contraction } from "./operands.js"
import { type ChunkAt, emitStage, offsetIn, type StagedOperand } from "./staged.js"

/** How a block is dealt out to groups of lanes. */
export interface Groups {
  readonly atom: Atom
  /** Fragments of a group along rows and along columns. */
  readonly down: number
  readonly across: number
  /** The first row and column of this lane's group. */
  readonly row: Expression
  readonly column: Expression
}

export interface Ring {
  readonly groups: Groups
  readonly chunk: number
  readonly stages: number
  readonly a: readonly StagedOperand[]
  readonly b: readonly StagedOperand[]
  readonly contraction: Contraction
  /** Axes of which the block has one place. */
  readonly fixed: ReadonlyMap<string, Expression>
}

/** Elements that are added up in fragments before the sum is added to another: longer chains lose digits, for matrix units do not round sums but cut them. */
export const longestChain = 4096

/** The chunks of the folded axes: their number, and where one lies. */
export function chunksOf(folded: readonly Axis[], size: number) {
  const { name: axis, extent } = folded.at(-1)!
  const outer = folded.slice(0, -1)
  const known = literalExtent(extent)
  if (outer.length > 0 && (known === undefined || outer.some((a) => literalExtent(a.extent) === undefined)))
    throw new Refused("atom/fold", "how long folds inside of one another are is not known")
  const each = apply("floordiv", add(extent, literal(size - 1)), literal(size))
  const count = outer.reduce((n, a) => mul(n, a.extent), each)
  const whole = known !== undefined && known % size === 0
  const at = (turn: Expression): ChunkAt => {
    let rest = turn
    const places = new Map<string, Expression>()
    const take = (of: Expression, isLast: boolean): Expression => {
      if (isLast) return rest
      const number = apply("floormod", rest, of)
      rest = apply("floordiv", rest, of)
      return number
    }
    const number = literalExtent(each) === 1 ? literal(0) : take(each, outer.length === 0)
    for (const [i, a] of [...outer.entries()].reverse()) places.set(a.name, take(a.extent, i === 0))
    return { base: mul(number, literal(size)), outer: places, axis, extent, whole }
  }
  return { count, at }
}

/** Emits the fragments of results, one array for each product, and what computes them. */
export function emitRing(ring: Ring, scope: Scope, lowerer: Lowerer): readonly string[] {
  const { out } = scope
  const { contraction, chunk, stages } = ring
  const chunks = chunksOf(contraction.folded, chunk)
  const results = contraction.products.map(() => allocate(ring, "c", "result", resultSize(ring), out, lowerer))
  const opaque = isOpaque(ring.groups.atom.name, "c")
  if (!opaque) for (const array of results) clear(array, resultSize(ring), out, lowerer)
  const most = contraction.folded.reduce((n, a) => n * Math.max(1, lowerer.longest(a.name)), 1)
  if (opaque && most > longestChain)
    throw new Refused(
      "atom/fold",
      `a chain of ${most} sums is longer than ${longestChain}, and fragments of '${ring.groups.atom.name}' are not added`,
    )
  const aside = most > longestChain ? results.map(() => putAside(resultSize(ring), out, lowerer)) : []
  const stage = (of: Expression, into: Statement[], bound: ReadonlySet<string>) => {
    const at = chunks.at(of)
    const slot = slotOf(of, stages)
    for (const operand of [...ring.a, ...ring.b])
      emitStage(operand, slot, ring.fixed, at, { ...scope, out: into, bound, vector: undefined }, lowerer)
  }
  const { asynchronous } = ring.groups.atom
  // While asynchronous products of a chunk go on, the next copy takes the place of the one before it.
  const ahead = asynchronous ? stages - 2 : stages - 1
  if (ahead < (asynchronous ? 1 : 0)) throw new Refused("atom/tile", "asynchronous products take at least three stages")
  for (let i = 0; i < ahead; i++) {
    const body: Statement[] = []
    stage(literal(i), body, scope.bound)
    out.push(...when(apply("lt", literal(i), chunks.count), body), { kind: "commit", of: "copies" })
  }
  const turn = lowerer.fresh("turn")
  const here = variable(turn)
  const bound = new Set(scope.bound).add(turn)
  const later: Statement[] = []
  stage(add(here, literal(ahead)), later, bound)
  const filled: readonly Statement[] = [
    ...when(apply("lt", add(here, literal(ahead)), chunks.count), later),
    { kind: "commit", of: "copies" },
  ]
  const products: Statement[] = []
  emitProducts(ring, slotOf(here, stages), results, { ...scope, out: products, bound }, lowerer)
  const body = turnOf(ahead, asynchronous, filled, products)
  const run = Math.floor(longestChain / chunk)
  const moves = { ring, results, aside, run, count: chunks.count }
  if (aside.length > 0) body.push(...emitMoves(moves, here, lowerer))
  if (literalExtent(chunks.count) !== 0)
    out.push({ kind: "for", variable: turn, extent: chunks.count, bind: "serial", body })
  if (asynchronous) out.push({ kind: "wait", of: "products", groups: 0 })
  if (aside.length > 0) out.push(...emitTotals(moves, lowerer))
  return results
}

/** What is done in a turn: `filled` are the copies of a later one. Asynchronous products go on while those are begun, and until the next turn has begun its own. */
function turnOf(
  ahead: number,
  asynchronous: boolean,
  filled: readonly Statement[],
  products: readonly Statement[],
): Statement[] {
  const barrier: Statement = { kind: "barrier" }
  const there = (groups: number): Statement => ({ kind: "wait", of: "copies", groups })
  if (asynchronous)
    return [
      there(ahead - 1),
      barrier,
      ...products,
      { kind: "commit", of: "products" },
      ...filled,
      { kind: "wait", of: "products", groups: 1 },
    ]
  if (ahead === 0) return [barrier, ...filled, there(0), barrier, ...products]
  return [there(ahead - 1), barrier, ...filled, ...products]
}

export const slotOf = (turn: Expression, stages: number) =>
  stages === 1 ? literal(0) : apply("floormod", turn, literal(stages))

export const when = (condition: Expression, body: readonly Statement[]): readonly Statement[] =>
  condition.kind === "literal" ? (condition.value === 0 ? [] : body) : [{ kind: "if", condition, body, otherwise: [] }]

const resultSize = ({ groups: { atom, down, across } }: Ring) => down * across * fragmentSize(atom, "c")

export function allocate(
  { groups: { atom } }: { readonly groups: Pick<Groups, "atom"> },
  operand: "a" | "b" | "c",
  stem: string,
  size: number,
  out: Statement[],
  lowerer: Lowerer,
): string {
  const name = lowerer.fresh(stem)
  const { storage } = atom[operand]
  const kind = storage === "f32" ? {} : { storage }
  out.push({
    kind: "alloc",
    name,
    dtype: "f32",
    ...kind,
    size,
    space: "register",
    layout: { atom: atom.name, operand },
  })
  return name
}

/** Statements for each register. */
export function registers(
  size: number,
  out: Statement[],
  lowerer: Lowerer,
  each: (at: Expression) => readonly Statement[],
): void {
  const name = lowerer.fresh("register")
  out.push({ kind: "for", variable: name, extent: literal(size), bind: "unroll", body: each(variable(name)) })
}

export const clear = (array: string, size: number, out: Statement[], lowerer: Lowerer) =>
  registers(size, out, lowerer, (offset) => [{ kind: "store", array, offset, value: literal(0, "f32") }])

/** Sums that are put aside after each run of chunks. */
interface Moves {
  readonly ring: Ring
  readonly results: readonly string[]
  readonly aside: readonly string[]
  /** Chunks after which sums are put aside, and how many there are in all. */
  readonly run: number
  readonly count: Expression
}

/** Elements that are moved at once: 16 bytes. */
const moved = 4

function putAside(size: number, out: Statement[], lowerer: Lowerer): string {
  const name = lowerer.fresh("aside")
  out.push({ kind: "alloc", name, dtype: "f32", size, space: "register", aside: true })
  return name
}

/** Puts aside what fragments hold where a run ends and others follow: the first as it is, the others added. */
function emitMoves({ ring, results, aside, run, count }: Moves, turn: Expression, lowerer: Lowerer): Statement[] {
  const size = resultSize(ring) / moved
  const done = add(turn, literal(1))
  const ends = apply("eq", apply("floormod", done, literal(run)), literal(0))
  const [first, others, cleared]: [Statement[], Statement[], Statement[]] = [[], [], []]
  for (const [i, from] of results.entries()) {
    const to = aside[i]!
    registers(size, first, lowerer, (at) => [{ kind: "store", ...place(to, at), value: heldAt(from, at) }])
    registers(size, others, lowerer, (at) => [
      { kind: "store", ...place(to, at), value: add(heldAt(to, at), heldAt(from, at)) },
    ])
    clear(from, resultSize(ring), cleared, lowerer)
  }
  const isFirst = apply("eq", done, literal(run))
  const put: Statement = { kind: "if", condition: isFirst, body: first, otherwise: others }
  const there: Statement[] = ring.groups.atom.asynchronous ? [{ kind: "wait", of: "products", groups: 0 }] : []
  const condition = apply("and", ends, apply("lt", done, count))
  return [{ kind: "if", condition, body: [...there, put, ...cleared], otherwise: [] }]
}

/** Adds what was put aside to what fragments hold. */
function emitTotals({ ring, results, aside, run, count }: Moves, lowerer: Lowerer): readonly Statement[] {
  const out: Statement[] = []
  for (const [i, to] of results.entries())
    registers(resultSize(ring) / moved, out, lowerer, (at) => [
      { kind: "store", ...place(to, at), value: add(heldAt(to, at), heldAt(aside[i]!, at)) },
    ])
  return when(apply("lt", literal(run), count), out)
}

const place = (array: string, at: Expression): Place => ({ array, offset: mul(at, literal(moved)) })
const heldAt = (array: string, at: Expression) => fetch(array, mul(at, literal(moved)), "f32", moved)

/** Multiplies a chunk, as many of its elements at a time as the atom folds. */
function emitProducts(ring: Ring, slot: Expression, results: readonly string[], scope: Scope, lowerer: Lowerer): void {
  const { groups, chunk, a, b, contraction } = ring
  const { atom, down, across } = groups
  const step = lowerer.fresh("step")
  const first = mul(variable(step), literal(atom.k))
  const out: Statement[] = []
  const [i, j] = [lowerer.fresh("down"), lowerer.fresh("across")]
  const operandsOf = (operand: "a" | "b", all: readonly StagedOperand[]): readonly (readonly (Place | Tile)[])[] => {
    const number = variable(operand === "a" ? i : j)
    if (atom[operand].places.includes("shared")) return all.map((x) => tilesOf(ring, operand, x, slot, first, number))
    const size = literal(fragmentSize(atom, operand))
    return all.map((x) =>
      fragmentsOf(ring, operand, x, slot, first, out, lowerer).map((array) => ({ array, offset: mul(number, size) })),
    )
  }
  const left = operandsOf("a", a)
  const right = operandsOf("b", b)
  const size = literal(fragmentSize(atom, "c"))
  const multiplies = contraction.products.flatMap((product, at) =>
    termsOf(left[product.a]!, right[product.b]!).map(
      ([p, q]): Statement => ({
        kind: "multiply",
        atom: atom.name,
        c: { array: results[at]!, offset: mul(add(mul(variable(i), literal(across)), variable(j)), size) },
        a: p,
        b: q,
      }),
    ),
  )
  const columns: Statement = { kind: "for", variable: j, extent: literal(across), bind: "unroll", body: multiplies }
  out.push({ kind: "for", variable: i, extent: literal(down), bind: "unroll", body: [columns] })
  scope.out.push({ kind: "for", variable: step, extent: literal(chunk / atom.k), bind: "unroll", body: out })
}

/** The terms of two operands that are multiplied: what is as small as what has been left out of either is left out. The smaller first. */
export function termsOf<T>(p: readonly T[], q: readonly T[]): readonly (readonly [T, T])[] {
  const most = Math.max(p.length, q.length)
  const pairs = p.flatMap((x, i) => q.flatMap((y, j) => (i + j < most ? [{ x, y, order: i + j }] : [])))
  return pairs.sort((u, v) => v.order - u.order).map(({ x, y }) => [x, y] as const)
}

/** The tiles of an operand's terms that an atom takes from where they are staged; `number` counts those of the group. */
export function tilesOf(
  { groups: { atom, row, column } }: Pick<Ring, "groups">,
  operand: "a" | "b",
  staged: StagedOperand,
  slot: Expression,
  first: Expression,
  number: Expression,
): readonly Tile[] {
  const [start, each] = operand === "a" ? [row, atom.m] : [column, atom.n]
  const place = add(start, mul(number, literal(each)))
  const inFold = staged.inner === "fold"
  // What is wider than a row goes on in the next panel.
  const wide = !inFold && each > staged.panel ? { panel: staged.panel * staged.chunk } : {}
  const offset = inFold ? offsetIn(staged, slot, first, place) : offsetIn(staged, slot, place, first)
  const transposed = inFold === (operand === "b")
  return staged.arrays.map((array) => ({ array, offset, stride: staged.panel, transposed, ...wide }))
}

/** The fragments of an operand's terms for so many elements of the fold. */
export function fragmentsOf(
  ring: Pick<Ring, "groups">,
  operand: "a" | "b",
  staged: StagedOperand,
  slot: Expression,
  first: Expression,
  out: Statement[],
  lowerer: Lowerer,
): readonly string[] {
  const { atom, down, across, row, column } = ring.groups
  const [start, each, count] = operand === "a" ? [row, atom.m, down] : [column, atom.n, across]
  // Two narrow fragments are loaded together.
  const together = each < 16 && count % 2 === 0 ? 2 : 1
  const size = fragmentSize(atom, operand)
  return staged.arrays.map((array) => {
    const name = allocate(ring, operand, operand, count * size, out, lowerer)
    const number = lowerer.fresh("fragment")
    const place = add(start, mul(variable(number), literal(each * together)))
    const inFold = staged.inner === "fold"
    const offset = inFold ? offsetIn(staged, slot, first, place) : offsetIn(staged, slot, place, first)
    const fill: Statement = {
      kind: "fill",
      atom: atom.name,
      operand,
      to: { array: name, offset: mul(variable(number), literal(size * together)) },
      from: { array, offset },
      stride: literal(staged.panel),
      // Rows of a and columns of b follow the side.
      transposed: inFold === (operand === "b"),
      count: together,
      step: inFold ? each * staged.panel : each,
    }
    out.push({ kind: "for", variable: number, extent: literal(count / together), bind: "unroll", body: [fill] })
    return name
  })
}
