/**
 * Products on matrix units, written by hand in the loop language: y[m, n] = Σ a[m, k] · b[n, k] (or b[k, n]), any sizes, as schedules would have them.
 *
 *   a ring of chunks of both operands in shared memory, filled by asynchronous copies; warps (or groups of them) with a part of the block each
 */

import { add, and, apply, fetch, literal, mul, variable } from "../../compiler/ir/expression.js"
import { type Atom, atoms, fragmentSize } from "../../compiler/ir/fragments/atoms.js"
import { at } from "../../compiler/ir/fragments/layout.js"
import type { Half, LoopKernel, Statement, Storage, Tile } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import { bind, bound, buffer, serial, store } from "../targets/wasm-support.js"

const n = literal
const v = (name: string) => variable(name)
const less = (a: Expression, b: number) => apply("lt", a, n(b))
const over = (x: Expression, by: number) => apply("floordiv", x, n(by))
const rest = (x: Expression, by: number) => apply("floormod", x, n(by))
const sum = (...all: readonly Expression[]): Expression => all.reduce((a, b) => add(a, b))
const times = (x: Expression, by: number): Expression => mul(x, n(by))

export interface ProductShape {
  readonly rows: number
  readonly columns: number
  readonly depth: number
  readonly atom: string
  /** Rows and columns of a workgroup. */
  readonly block: readonly [rows: number, columns: number]
  /** Groups of lanes, each of as many as the atom has, along rows and columns of it. */
  readonly groups: readonly [rows: number, columns: number]
  readonly stages: number
  readonly result: "f32" | "bf16"
  /** Whether b is k × n, each row of it all columns; n × k where left out. */
  readonly across?: boolean
  /** Whether an asynchronous atom takes `a` from registers. */
  readonly held?: boolean
  /** Blocks of rows that go through all columns together; 1 where left out. */
  readonly band?: number
}

/** Elements of a chunk: 128 bytes of a row. */
const chunk = 64

/** The kernel with buffers a, b and y. */
export function productKernel(shape: ProductShape): LoopKernel {
  const atom = atoms.get(shape.atom)!
  const { rows, columns, depth, block, groups, stages, result } = shape
  const storage = atom.a.storage as Half
  const threads = groups[0] * groups[1] * atom.lanes
  const cells = [Math.ceil(rows / block[0]), Math.ceil(columns / block[1])] as const
  const shared = (name: string, lines: number): Statement => ({
    kind: "alloc",
    name,
    dtype: "f32",
    storage,
    size: stages * lines * chunk,
    space: "shared",
    swizzle: 128,
  })
  const body = [
    ...placed(shape, cells, atom),
    ...accumulators(shape, atom),
    ...(atom.asynchronous ? groupLoop(shape, atom, threads) : warpLoop(shape, atom, threads)),
    ...results(shape, atom),
  ]
  const grid = bound("grid", "cell", cells[0] * cells[1], [
    shared("as", block[0]),
    shared("bs", block[1]),
    bound("lane", "l", threads, body),
  ])
  const buffers = [
    { ...buffer("a", storage, rows * depth), steady: true as const },
    { ...buffer("b", storage, columns * depth), steady: true as const },
    buffer("y", result as Storage, rows * columns, "write"),
  ]
  return { name: shape.atom, buffers, symbols: [], threads, groups: cells[0] * cells[1], body: [grid] }
}

/** The first row and column of the block, and those of the lane's group within. */
function placed({ block, groups, band = 1 }: ProductShape, [down, along]: readonly [number, number], atom: Atom) {
  const group = over(v("l"), atom.lanes)
  const tall = apply("max", n(1), apply("min", n(band), apply("sub", n(down), times(v("bands"), band))))
  return [
    bind("bands", over(v("cell"), band * along)),
    bind("tall", tall),
    bind("within", rest(v("cell"), band * along)),
    bind("m0", times(add(times(v("bands"), band), apply("floormod", v("within"), v("tall"))), block[0])),
    bind("n0", times(apply("floordiv", v("within"), v("tall")), block[1])),
    bind("mw", times(over(group, groups[1]), block[0] / groups[0])),
    bind("nw", times(rest(group, groups[1]), block[1] / groups[1])),
  ]
}

/** Fragments along the rows and the columns of a group's part. */
const partsOf = ({ block, groups }: ProductShape, { m, n: wide }: Atom) =>
  [block[0] / groups[0] / m, block[1] / groups[1] / wide] as const

function accumulators(shape: ProductShape, atom: Atom): readonly Statement[] {
  const [down, along] = partsOf(shape, atom)
  const size = down * along * fragmentSize(atom, "c")
  return [fragments("c", atom, "c", size), bound("unroll", "z", size, [store("c", v("z"), literal(0, "f32"))])]
}

const fragments = (name: string, atom: Atom, operand: "a" | "b" | "c", size: number): Statement => {
  const { storage } = atom[operand]
  const held = storage === "f32" ? {} : { storage }
  return { kind: "alloc", name, dtype: "f32", ...held, size, space: "register", layout: { atom: atom.name, operand } }
}

/** Copies chunk `number` of both operands to a stage of the ring, all lanes together; zeros beyond the operands' ends. */
function copies(shape: ProductShape, threads: number, number: Expression, stage: Expression): readonly Statement[] {
  const { rows, columns, depth, block, stages, across } = shape
  const first = times(number, chunk)
  const rests = { rows: rows % block[0] !== 0, columns: columns % block[1] !== 0 }
  const isLong = depth % chunk !== 0 || depth < (stages - 1) * chunk
  const tiles: readonly Copied[] = [
    { from: "a", lines: [v("m0"), block[0], rows, rests.rows], columns: [first, depth, isLong] },
    ...(across
      ? Array.from({ length: block[1] / chunk }, (_, panel): Copied => {
          return {
            from: "b",
            lines: [first, chunk, depth, isLong],
            columns: [add(v("n0"), n(panel * chunk)), columns, rests.columns],
            panel,
          }
        })
      : [{ from: "b", lines: [v("n0"), block[1], columns, rests.columns], columns: [first, depth, isLong] } as const]),
  ]
  return tiles.map((tile) => copyOf(tile, threads, times(stage, block[tile.from === "a" ? 0 : 1] * chunk)))
}

/** Lines of an operand, each as long as a chunk, that go to a stage: where they begin, how many there are, and whether they may go beyond its end. */
interface Copied {
  readonly from: "a" | "b"
  readonly lines: readonly [first: Expression, count: number, extent: number, checked: boolean]
  readonly columns: readonly [first: Expression, extent: number, checked: boolean]
  /** Their number in the stage. */
  readonly panel?: number
}

function copyOf({ from, lines, columns, panel = 0 }: Copied, threads: number, stage: Expression): Statement {
  const [line, count, height, checksLine] = lines
  const [column, length, checksColumn] = columns
  const width = [8, 4, 2, 1].find((w) => length % w === 0)!
  const pieces = chunk / width
  const step = threads / pieces
  const own = add(over(v("l"), pieces), times(v("p"), step))
  const piece = times(rest(v("l"), pieces), width)
  const [row, along] = [add(line, own), add(column, piece)]
  const conditions = [...(checksLine ? [less(row, height)] : []), ...(checksColumn ? [less(along, length)] : [])]
  const copy: Statement = {
    kind: "copy",
    to: { array: `${from}s`, offset: sum(stage, n(panel * count * chunk), times(own, chunk), piece) },
    from: { array: from, offset: add(times(row, length), along) },
    width,
    ...(conditions.length === 0 ? {} : { valid: conditions.reduce((a, b) => and(a, b)) }),
  }
  return bound("unroll", "p", count / step, [copy])
}

/** Where a step of the folded axis begins in the stage: for rows of a, or columns of b. */
function tileOf({ block, across }: ProductShape, { k }: Atom, operand: "a" | "b", line: Expression): Tile {
  const stage = times(v("now"), block[operand === "a" ? 0 : 1] * chunk)
  const step = times(v("t"), k)
  const array = `${operand}s`
  if (operand === "a" || !across)
    return { array, offset: sum(stage, times(line, chunk), step), stride: chunk, transposed: operand === "b" }
  const panel = times(over(line, chunk), chunk * chunk)
  const wide = block[1] > chunk ? { panel: chunk * chunk } : {}
  return {
    array,
    offset: sum(stage, panel, times(step, chunk), rest(line, chunk)),
    stride: chunk,
    transposed: false,
    ...wide,
  }
}

function fillOf(
  shape: ProductShape,
  atom: Atom,
  operand: "a" | "b",
  register: Expression,
  line: Expression,
  count = 1,
): Statement {
  const { array, offset, stride, transposed } = tileOf(shape, atom, operand, line)
  const step = count === 1 ? 0 : atom.n * (transposed ? chunk : 1)
  const to = { array: `f${operand}`, offset: register }
  return {
    kind: "fill",
    atom: atom.name,
    operand,
    to,
    from: { array, offset },
    stride: n(stride),
    transposed,
    count,
    step,
  }
}

const commit = (of: "copies" | "products"): Statement => ({ kind: "commit", of })
const wait = (of: "copies" | "products", groups: number): Statement => ({ kind: "wait", of, groups })
const barrier: Statement = { kind: "barrier" }

/** Chunks by turns: `ahead` of them are under way; `turn` is what is done with one, and `filled` the copies of a later one. */
function ring(
  shape: ProductShape,
  threads: number,
  ahead: number,
  turn: (filled: readonly Statement[]) => readonly Statement[],
): readonly Statement[] {
  const chunks = Math.ceil(shape.depth / chunk)
  const later = add(v("chunk"), n(ahead))
  const filled: readonly Statement[] = [
    { kind: "if", condition: less(later, chunks), body: copies(shape, threads, later, v("next")), otherwise: [] },
    commit("copies"),
  ]
  const advance = (name: string): Statement => ({
    kind: "assign",
    name,
    value: apply("select", apply("eq", v(name), n(shape.stages - 1)), n(0), add(v(name), n(1))),
  })
  return [
    bound("unroll", "s", ahead, [...copies(shape, threads, v("s"), v("s")), commit("copies")]),
    bind("now", n(0), true),
    bind("next", n(ahead), true),
    serial("chunk", chunks, [...turn(filled), advance("now"), advance("next")]),
  ]
}

function warpLoop(shape: ProductShape, atom: Atom, threads: number): readonly Statement[] {
  const { stages } = shape
  const [down, along] = partsOf(shape, atom)
  const [a, b, c] = (["a", "b", "c"] as const).map((operand) => fragmentSize(atom, operand)) as [number, number, number]
  const together = Math.min(2, along)
  const product: Statement = {
    kind: "multiply",
    atom: atom.name,
    c: { array: "c", offset: times(add(times(v("i"), along), v("j")), c) },
    a: { array: "fa", offset: times(v("i"), a) },
    b: { array: "fb", offset: times(v("j"), b) },
  }
  const column = add(v("nw"), times(v("j"), together * atom.n))
  const step: readonly Statement[] = [
    fragments("fa", atom, "a", down * a),
    fragments("fb", atom, "b", along * b),
    bound("unroll", "i", down, [fillOf(shape, atom, "a", times(v("i"), a), add(v("mw"), times(v("i"), atom.m)))]),
    bound("unroll", "j", along / together, [fillOf(shape, atom, "b", times(v("j"), together * b), column, together)]),
    bound("unroll", "i", down, [bound("unroll", "j", along, [product])]),
  ]
  return ring(shape, threads, stages - 1, (filled) => [
    wait("copies", stages - 2),
    barrier,
    ...filled,
    bound("unroll", "t", chunk / atom.k, step),
  ])
}

function groupLoop(shape: ProductShape, atom: Atom, threads: number): readonly Statement[] {
  const { stages, held } = shape
  const [down, along] = partsOf(shape, atom)
  const each = fragmentSize(atom, "a")
  const row = add(v("mw"), times(v("i"), atom.m))
  const fragment = add(times(v("t"), down * each), times(v("i"), each))
  const product: Statement = {
    kind: "multiply",
    atom: atom.name,
    c: { array: "c", offset: times(add(times(v("i"), along), v("j")), fragmentSize(atom, "c")) },
    a: held ? { array: "fa", offset: fragment } : tileOf(shape, atom, "a", row),
    b: tileOf(shape, atom, "b", add(v("nw"), times(v("j"), atom.n))),
  }
  const steps = chunk / atom.k
  const over = (body: Statement): Statement => bound("unroll", "t", steps, [bound("unroll", "i", down, [body])])
  const fills = [fragments("fa", atom, "a", steps * down * each), over(fillOf(shape, atom, "a", fragment, row))]
  const loop = ring(shape, threads, stages - 2, (filled) => [
    wait("copies", stages - 3),
    barrier,
    ...(held ? fills : []),
    over(bound("unroll", "j", along, [product])),
    commit("products"),
    ...filled,
    wait("products", held ? 0 : 1),
  ])
  return [...loop, wait("products", 0)]
}

/** Each lane stores what it holds, two neighbours at once where both are there. */
function results(shape: ProductShape, atom: Atom): readonly Statement[] {
  const { rows, columns } = shape
  const [down, along] = partsOf(shape, atom)
  const size = fragmentSize(atom, "c")
  const width = columns % 2 === 0 ? 2 : 1
  const { row, column } = at(atom.c.layout!, v("l"), times(v("e"), width))
  const own = add(times(add(times(v("i"), along), v("j")), size), times(v("e"), width))
  const to = add(times(v("row"), columns), v("column"))
  const inside = and(less(v("row"), rows), less(v("column"), columns))
  const stored = store("y", to, fetch("c", own, "f32", width))
  return [
    bound("unroll", "i", down, [
      bound("unroll", "j", along, [
        bound("unroll", "e", size / width, [
          bind("row", sum(v("m0"), v("mw"), times(v("i"), atom.m), row)),
          bind("column", sum(v("n0"), v("nw"), times(v("j"), atom.n), column)),
          { kind: "if", condition: inside, body: [stored], otherwise: [] },
        ]),
      ]),
    ]),
  ]
}
