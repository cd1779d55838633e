/**
 * The loop over chunks: operands are copied to the workgroup's memory several chunks ahead, in a ring of stages, and fragments of the chunk that is
 * there are multiplied.
 *
 *   fill 0, 1;  for turn { wait but 1;  barrier;  fill turn + 2, where turn − 1 was;  4 × { a, b = fragments of turn;  c += a · b } }
 *
 * One barrier a chunk: behind it all lanes see what each has copied, and are done with the chunk that the next copy takes the place of. What the copy
 * engine brings each lane waits for itself: then products of two chunks are under way where lanes meet. Chains of
 * sums that would become long are added to others (`chains.ts`).
 */
import { literalExtent } from "../../ir/dim.js"
import { add, apply, literal, mul, variable } from "../../ir/expression.js"
import { fragmentSize, isOpaque } from "../../ir/fragments/atoms.js"
import type { Place, Statement, Tile } from "../../ir/loop.js"
import type { Expression } from "../../ir/nodes.js"
import type { Axis } from "../../ir/tensor.js"
import { Refused } from "../block.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { openChains } from "./chains.js"
import type { Contraction, Product } from "./operands.js"
import { allocate, clear, type Groups, resultSize, when } from "./registers.js"
import { boxesOf, type ChunkAt, emitStage, offsetIn, type StagedOperand } from "./staged.js"

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
  const results = contraction.products.map(() => allocate(ring, "c", "result", resultSize(ring.groups), out, lowerer))
  const size = resultSize(ring.groups)
  if (!isOpaque(ring.groups.atom.name, "c")) for (const array of results) clear(array, size, out, lowerer)
  const most = contraction.folded.reduce((n, a) => n * Math.max(1, lowerer.longest(a.name)), 1)
  const chained = { groups: ring.groups, of: contraction, results, chunk, most, count: chunks.count }
  const chains = openChains(chained, out, lowerer)
  const operands = [...ring.a, ...ring.b]
  const arrivals = operands.some((x) => x.boxed !== undefined) ? lowerer.fresh("arrivals") : undefined
  const byLanes = operands.some((x) => x.boxed === undefined)
  if (arrivals !== undefined) out.push({ kind: "arrivals", name: arrivals, places: stages })
  const stage = (of: Expression, into: Statement[], bound: ReadonlySet<string>) => {
    const at = chunks.at(of)
    const slot = slotOf(of, stages)
    const inside: Scope = { ...scope, out: into, bound, vector: undefined }
    const boxes = operands.flatMap((x) =>
      x.boxed === undefined ? [] : boxesOf(x, x.boxed, slot, ring.fixed, at, inside, lowerer),
    )
    if (arrivals !== undefined) into.push({ kind: "copyBoxes", arrivals, number: of, boxes })
    for (const x of operands) if (x.boxed === undefined) emitStage(x, slot, ring.fixed, at, inside, lowerer)
  }
  const commit: readonly Statement[] = byLanes ? [{ kind: "commit", of: "copies" }] : []
  const { asynchronous } = ring.groups.atom
  const order: Order = asynchronous ? (byLanes ? "shown" : "brought") : "at once"
  // What lanes have copied they meet for before its products begin, when those of the chunk before may still go on: its place is not free yet.
  const ahead = order === "shown" ? stages - 2 : stages - 1
  if (ahead < (asynchronous ? 1 : 0))
    throw new Refused("atom/tile", `asynchronous products take at least ${stages - ahead + 1} stages`)
  for (let i = 0; i < ahead; i++) {
    const body: Statement[] = []
    stage(literal(i), body, scope.bound)
    out.push(...when(apply("lt", literal(i), chunks.count), body), ...commit)
  }
  const turn = lowerer.fresh("turn")
  const here = variable(turn)
  const bound = new Set(scope.bound).add(turn)
  const later: Statement[] = []
  stage(add(here, literal(ahead)), later, bound)
  const filled: readonly Statement[] = [...when(apply("lt", add(here, literal(ahead)), chunks.count), later), ...commit]
  const products: Statement[] = []
  emitProducts(ring, slotOf(here, stages), results, { ...scope, out: products, bound }, lowerer)
  const there = (groups: number): readonly Statement[] => [
    ...(byLanes ? ([{ kind: "wait", of: "copies", groups }] as const) : []),
    ...(arrivals === undefined ? [] : ([{ kind: "arrived", arrivals, number: here }] as const)),
  ]
  const body = turnOf(order, ahead, there, filled, products)
  body.push(...chains.after(here))
  if (literalExtent(chunks.count) !== 0)
    out.push({ kind: "for", variable: turn, extent: chunks.count, bind: "serial", body })
  if (asynchronous) out.push({ kind: "wait", of: "products", groups: 0 })
  out.push(...chains.last)
  return chains.sums
}

/**
 * When chunks are filled: those of products that go on by themselves are shown to them by lanes that have copied, or brought by the copy engine alone; others
 * are multiplied at once.
 */
type Order = "shown" | "brought" | "at once"

/**
 * What is done in a turn: `there` waits for its operands; `filled` are the copies of a later one. Asynchronous products go on while those are begun, and
 * until the next turn has begun its own.
 */
function turnOf(
  order: Order,
  ahead: number,
  there: (groups: number) => readonly Statement[],
  filled: readonly Statement[],
  products: readonly Statement[],
): Statement[] {
  const barrier: Statement = { kind: "barrier" }
  const begun: readonly Statement[] = [...products, { kind: "commit", of: "products" }]
  const before: Statement = { kind: "wait", of: "products", groups: 1 }
  if (order === "shown") return [...there(ahead - 1), barrier, ...begun, ...filled, before]
  // Lanes meet while products go on: those of the chunk before are done in all groups, and its place is free.
  if (order === "brought") return [...there(ahead - 1), ...begun, before, barrier, ...filled]
  if (ahead === 0) return [barrier, ...filled, ...there(0), barrier, ...products]
  return [...there(ahead - 1), barrier, ...filled, ...products]
}

export const slotOf = (turn: Expression, stages: number) =>
  stages === 1 ? literal(0) : apply("floormod", turn, literal(stages))

/** Multiplies a chunk: pairs of terms one after the other, the smallest first, where all bits count; else all of a step together. */
function emitProducts(ring: Ring, slot: Expression, results: readonly string[], scope: Scope, lowerer: Lowerer): void {
  if (!ring.contraction.whole) emitSteps(ring, slot, results, undefined, scope, lowerer)
  else for (const order of [2, 1, 0]) emitSteps(ring, slot, results, order, scope, lowerer)
}

/** Multiplies pairs of terms, those of one order or all of them, as many elements at a time as the atom folds. */
function emitSteps(
  ring: Ring,
  slot: Expression,
  results: readonly string[],
  order: number | undefined,
  scope: Scope,
  lowerer: Lowerer,
): void {
  const { groups, chunk, contraction } = ring
  const only = (x: StagedOperand): StagedOperand =>
    order === undefined || x.terms === 1 ? x : { ...x, arrays: [x.arrays[order]!] }
  const takes = (p: Product) => (order ?? 0) < Math.max(ring.a[p.a]!.terms, ring.b[p.b]!.terms)
  const numbered = contraction.products.map((product, at) => ({ ...product, at })).filter(takes)
  const used = (all: readonly StagedOperand[], of: "a" | "b") =>
    all.map((x, i) => (numbered.some((p) => p[of] === i) ? only(x) : undefined))
  const [a, b] = [used(ring.a, "a"), used(ring.b, "b")]
  const { atom, down, across } = groups
  const step = lowerer.fresh("step")
  const first = mul(variable(step), literal(atom.k))
  const out: Statement[] = []
  const [i, j] = [lowerer.fresh("down"), lowerer.fresh("across")]
  const operandsOf = (operand: "a" | "b", all: readonly (StagedOperand | undefined)[]) => {
    const number = variable(operand === "a" ? i : j)
    const size = literal(fragmentSize(atom, operand))
    return all.map((x): readonly (Place | Tile)[] => {
      if (x === undefined) return []
      if (atom[operand].places.includes("shared")) return tilesOf(ring, operand, x, slot, first, number)
      const arrays = fragmentsOf(ring, operand, x, slot, first, out, lowerer)
      return arrays.map((array) => ({ array, offset: mul(number, size) }))
    })
  }
  const left = operandsOf("a", a)
  const right = operandsOf("b", b)
  const size = literal(fragmentSize(atom, "c"))
  const multiplies = numbered.flatMap(({ at, ...product }) =>
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
