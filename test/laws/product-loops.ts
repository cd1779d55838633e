/**
 * Loop kernels over fragments: operands of a product are staged and multiplied by an atom, as a compiler might write them.
 *
 *   3 × 5 × 17, chunks of 16   →   for chunk < 2 { copy a and b; wait; barrier; fill; multiply }   y = …
 *
 * What lies beyond an operand is staged as zeros. Ordinary code finds elements by the `layouts` that it is given, in place of the atom's own.
 */
import { add, and, apply, fetch, literal, mul, variable, vector } from "../../compiler/ir/expression.js"
import { type Atom, atoms, fragmentSize, isOpaque } from "../../compiler/ir/fragments/atoms.js"
import { at, type Layout } from "../../compiler/ir/fragments/layout.js"
import type { Bind, Half, LoopKernel, OperandName, Place, Statement, Tile } from "../../compiler/ir/loop.js"
import type { Expression } from "../../compiler/ir/nodes.js"
import type { Product } from "./products.js"

const n = (x: number): Expression => literal(x)
const [lane, cell, slot, chunkNumber] = ["lane", "cell", "slot", "chunk"].map((name) => variable(name)) as [
  Expression,
  Expression,
  Expression,
  Expression,
]
const less = (a: Expression, b: number) => apply("lt", a, n(b))
const quotient = (a: Expression, b: number) => apply("floordiv", a, n(b))
const rest = (a: Expression, b: number) => apply("floormod", a, n(b))
const choice = (c: Expression, a: Expression, b: Expression) => apply("select", c, a, b)
const loop = (variable: string, extent: number, bind: Bind, body: readonly Statement[]): Statement => ({
  kind: "for",
  variable,
  extent: n(extent),
  bind,
  body,
})
const when = (condition: Expression, ...body: readonly Statement[]): Statement => ({
  kind: "if",
  condition,
  body,
  otherwise: [],
})
const mutable = (name: string, value: Expression): Statement => ({ kind: "let", name, value, mutable: true })
const barrier: Statement = { kind: "barrier" }
/** A statement for each number below `count`. */
const each = (count: number, body: (i: number) => readonly Statement[]): readonly Statement[] =>
  Array.from({ length: count }, (_, i) => body(i)).flat()

const settled = (groups: number): readonly Statement[] => [
  { kind: "commit", of: "products" },
  { kind: "wait", of: "products", groups },
]

/** What a product is made of. */
interface Parts {
  readonly p: Product
  readonly atom: Atom
  readonly threads: number
  readonly chunks: number
  readonly sides: readonly [Side, Side]
  /** Where the group of a lane begins in its workgroup: row and column. */
  readonly own: Readonly<Record<"a" | "b", Expression>>
  readonly layouts: Partial<Record<OperandName, Layout>>
}

/** One operand: in memory, and as a workgroup stages it. */
interface Side {
  readonly name: "a" | "b"
  readonly staged: string
  /** Of the axis that is not the sum's: its length, what a workgroup has of it, and where that begins. */
  readonly extent: number
  readonly block: number
  readonly first: Expression
  /** Whether the sum's axis is the faster one. */
  readonly deep: boolean
}

/** @param layouts by which ordinary code finds elements, where they are not the atom's own */
export function productKernel(p: Product, layouts: Partial<Record<OperandName, Layout>> = {}): LoopKernel {
  const atom = atoms.get(p.atom)!
  const [down, across] = p.groups
  const threads = atom.lanes * down * across
  const perGroup = [p.fragments[0] * atom.m, p.fragments[1] * atom.n] as const
  const [blockRows, blockColumns] = [down * perGroup[0], across * perGroup[1]]
  const cellsAcross = Math.ceil(p.columns / blockColumns)
  const cells = Math.ceil(p.rows / blockRows) * cellsAcross
  const group = quotient(lane, atom.lanes)
  const side = (name: "a" | "b", extent: number, block: number, first: Expression): Side => {
    const turned = p.turned[name === "a" ? 0 : 1]
    return { name, staged: `staged_${name}`, extent, block, first: mul(first, n(block)), deep: !turned }
  }
  const parts: Parts = {
    p,
    atom,
    threads,
    chunks: Math.ceil(p.depth / p.chunk),
    sides: [
      side("a", p.rows, blockRows, quotient(cell, cellsAcross)),
      side("b", p.columns, blockColumns, rest(cell, cellsAcross)),
    ],
    own: { a: mul(quotient(group, across), n(perGroup[0])), b: mul(rest(group, across), n(perGroup[1])) },
    layouts,
  }
  const storage = atom.a.storage as Half
  const shared = parts.sides.map((s): Statement => {
    const bytes = 2 * strideOf(s, p)
    const size = p.stages * s.block * p.chunk
    const swizzle = p.swizzled && (bytes === 32 || bytes === 64 || bytes === 128) ? { swizzle: bytes } : {}
    return { kind: "alloc", name: s.staged, dtype: "f32", storage, size, space: "shared", ...swizzle } as Statement
  })
  if (isOpaque(atom.name, "c")) {
    const size = down * across * perGroup[0] * perGroup[1]
    shared.push({ kind: "alloc", name: "drained", dtype: "f32", size, space: "shared" })
  }
  const buffer = (name: string, elements: number, access: "read" | "write") =>
    ({ name, dtype: "f32", storage: access === "read" ? storage : "f32", size: n(elements), access }) as const
  return {
    name: "product",
    buffers: [
      buffer("a", p.rows * p.depth, "read"),
      buffer("b", p.columns * p.depth, "read"),
      buffer("y", p.rows * p.columns, "write"),
    ],
    symbols: [],
    threads,
    groups: Math.min(p.launched, cells),
    body: [loop("cell", cells, "grid", [...shared, loop("lane", threads, "lane", lanesBody(parts))])],
  }
}

const strideOf = ({ deep, block }: Side, { chunk }: Product): number => (deep ? chunk : block)

function lanesBody(parts: Parts): readonly Statement[] {
  const { p, atom } = parts
  const count = p.fragments[0] * p.fragments[1]
  const zero = literal(0, "f32")
  return [
    // Of the cell before.
    barrier,
    held(parts, "c", count),
    ...each(isOpaque(atom.name, "c") ? 0 : count * fragmentSize(atom, "c"), (i) => [
      { kind: "store", array: "of_c", offset: n(i), value: zero },
    ]),
    mutable("slot", n(0)),
    ...(isCopied(parts) ? ringTurns(parts) : ordinaryTurns(parts)),
    ...(p.behind > 0 ? settled(0).slice(1) : []),
    ...(isOpaque(atom.name, "c") ? drained(parts) : results(parts)),
  ]
}

const held = ({ atom }: Parts, operand: OperandName, count: number): Statement => ({
  kind: "alloc",
  name: `of_${operand}`,
  dtype: "f32",
  ...(operand === "c" ? {} : { storage: atom[operand].storage as Half }),
  size: count * fragmentSize(atom, operand),
  space: "register",
  layout: { atom: atom.name, operand },
})

/** Elements that are copied at once: of 16 bytes at most and 4 at least. */
const widthOf = ({ deep, extent }: Side, { depth }: Product): number =>
  [8, 4, 2].find((w) => (deep ? depth : extent) % w === 0) ?? 1

const isCopied = ({ p, sides }: Parts): boolean => p.staging === "copies" && sides.every((s) => widthOf(s, p) > 1)

/** Chunks are copied some turns before they are multiplied. */
function ringTurns(parts: Parts): readonly Statement[] {
  const { p, chunks } = parts
  const ahead = p.stages - 1 - p.behind
  const copies = (chunk: Expression, to: Expression) => parts.sides.flatMap((s) => staged(parts, s, chunk, to, true))
  const commit: Statement = { kind: "commit", of: "copies" }
  const next = variable("next")
  const step = (name: string): Statement => {
    const now = variable(name)
    return { kind: "assign", name, value: choice(apply("eq", now, n(p.stages - 1)), n(0), add(now, n(1))) }
  }
  return [
    mutable("next", n(ahead)),
    ...each(ahead, (i) => [...(i < chunks ? copies(n(i), n(i)) : []), commit]),
    loop("chunk", chunks, "serial", [
      { kind: "wait", of: "copies", groups: ahead - 1 },
      barrier,
      when(less(add(chunkNumber, n(ahead)), chunks), ...copies(add(chunkNumber, n(ahead)), next)),
      commit,
      ...products(parts),
      step("slot"),
      step("next"),
    ]),
  ]
}

const ordinaryTurns = (parts: Parts): readonly Statement[] => [
  loop("chunk", parts.chunks, "serial", [
    barrier,
    ...parts.sides.flatMap((s) => staged(parts, s, chunkNumber, n(0), false)),
    barrier,
    ...products({ ...parts, p: { ...parts.p, behind: 0 } }),
  ]),
]

/** Brings a chunk of an operand to a stage, zeros where it has none. */
function staged({ p, threads }: Parts, s: Side, chunk: Expression, to: Expression, copied: boolean): Statement[] {
  const [width, fast] = [copied ? widthOf(s, p) : 2, strideOf(s, p)]
  const pieces = (s.block * p.chunk) / width
  const elementOf = (first: Expression, i: number) => {
    const element = add(first, n(i))
    const [slow, within] = [quotient(element, fast), rest(element, fast)]
    const [own, deep] = s.deep ? [slow, within] : [within, slow]
    const [place, k] = [add(s.first, own), add(mul(chunk, n(p.chunk)), deep)]
    const offset = s.deep ? add(mul(place, n(p.depth)), k) : add(mul(k, n(s.extent)), place)
    return { offset, valid: and(less(place, s.extent), less(k, p.depth)) }
  }
  return Array.from({ length: Math.ceil(pieces / threads) }, (_, turn): Statement => {
    const piece = add(lane, n(turn * threads))
    const first = mul(piece, n(width))
    const target = { array: s.staged, offset: add(mul(to, n(s.block * p.chunk)), first) }
    const { offset: source, valid } = elementOf(first, 0)
    const ordinary = (i: number): Expression => {
      const { offset, valid: there } = elementOf(first, i)
      return choice(there, fetch(s.name, choice(there, offset, n(0)), "f32"), literal(0, "f32"))
    }
    const statement: Statement = copied
      ? { kind: "copy", to: target, from: { array: s.name, offset: source }, width, valid }
      : { kind: "store", ...target, value: vector([ordinary(0), ordinary(1)]) }
    return (turn + 1) * threads <= pieces ? statement : when(less(piece, pieces), statement)
  })
}

/** The products of the chunk in the present slot. */
function products(parts: Parts): readonly Statement[] {
  const { p, atom, sides } = parts
  const isTile = { a: atom.asynchronous && p.left === "shared", b: atom.asynchronous }
  const count = { a: p.fragments[0], b: p.fragments[1] }
  const steps = each(p.chunk / atom.k, (step) => {
    const taken = (s: Side, i: number): Place | Tile =>
      isTile[s.name] ? tileOf(parts, s, i, step) : { array: `of_${s.name}`, offset: n(i * fragmentSize(atom, s.name)) }
    const filled = sides.flatMap((s) =>
      isTile[s.name] ? [] : [held(parts, s.name, count[s.name]), ...fills(parts, s, count[s.name], step)],
    )
    const multiplied = each(count.a, (i) =>
      each(count.b, (j) => {
        const c = { array: "of_c", offset: n((i * count.b + j) * fragmentSize(atom, "c")) }
        return [{ kind: "multiply", atom: atom.name, c, a: taken(sides[0], i), b: taken(sides[1], j) }]
      }),
    )
    // What is in registers is overwritten in the next step.
    const waits = atom.asynchronous && !isTile.a ? settled(0) : []
    return [{ kind: "block", body: [...filled, ...multiplied, ...waits] }]
  })
  return [...steps, ...(isTile.a ? settled(p.behind) : [])]
}

/** Where fragment `i` of a lane's group begins in its stage. */
function tileOf({ p, atom, own }: Parts, s: Side, i: number, step: number): Tile {
  const first = add(own[s.name], n(i * (s.name === "a" ? atom.m : atom.n)))
  const inStage = s.deep ? add(mul(first, n(p.chunk)), n(step * atom.k)) : add(first, n(step * atom.k * s.block))
  return {
    array: s.staged,
    offset: add(mul(slot, n(s.block * p.chunk)), inStage),
    stride: strideOf(s, p),
    transposed: s.name === "a" ? !s.deep : s.deep,
  }
}

function fills(parts: Parts, s: Side, count: number, step: number): readonly Statement[] {
  const { p, atom, layouts } = parts
  const size = fragmentSize(atom, s.name)
  const { array, offset, stride, transposed } = tileOf(parts, s, 0, step)
  const from = { array, offset }
  const apart = (s.name === "a" ? atom.m : atom.n) * (s.deep ? stride : 1)
  const to = { array: `of_${s.name}`, offset: n(0) }
  const operand = s.name
  if (p.filling === "fill")
    return [{ kind: "fill", atom: atom.name, operand, to, from, stride: n(stride), transposed, count, step: apart }]
  const layout = layouts[s.name] ?? atom[s.name].layout!
  const element = (i: number, register: number): Expression => {
    const { row, column } = at(layout, lane, register)
    const [slow, fast] = transposed ? [column, row] : [row, column]
    return fetch(array, add(add(offset, n(i * apart)), add(mul(slow, n(stride)), fast)), "f32")
  }
  return each(count, (i) =>
    each(size / 2, (pair) => {
      const value = vector([element(i, 2 * pair), element(i, 2 * pair + 1)])
      return [{ kind: "store", array: to.array, offset: n(i * size + 2 * pair), value }]
    }),
  )
}

/** Results go through memory, where lanes find them row by row. */
function drained({ p, atom, sides, own }: Parts): readonly Statement[] {
  const [size, count] = [atom.m * atom.n, p.fragments[0] * p.fragments[1]]
  const first = mul(quotient(lane, atom.lanes), n(count * size))
  const drains = each(count, (i) => [
    {
      kind: "drain",
      atom: atom.name,
      from: { array: "of_c", offset: n(i * fragmentSize(atom, "c")) },
      to: { array: "drained", offset: add(first, n(i * size)) },
      stride: n(atom.n),
      transposed: false,
    },
  ])
  const stores = each(count, (i) =>
    each(size / atom.lanes, (turn) => {
      const element = add(rest(lane, atom.lanes), n(turn * atom.lanes))
      const [down, across] = [Math.floor(i / p.fragments[1]) * atom.m, (i % p.fragments[1]) * atom.n]
      const row = add(add(sides[0].first, own.a), add(n(down), quotient(element, atom.n)))
      const column = add(add(sides[1].first, own.b), add(n(across), rest(element, atom.n)))
      const value = fetch("drained", add(first, add(n(i * size), element)), "f32")
      const offset = add(mul(row, n(p.columns)), column)
      return [when(and(less(row, p.rows), less(column, p.columns)), { kind: "store", array: "y", offset, value })]
    }),
  )
  return [...drains, barrier, ...stores]
}

/** Each lane stores what it holds, where it is within y. */
function results({ p, atom, sides, own, layouts }: Parts): readonly Statement[] {
  const size = fragmentSize(atom, "c")
  return each(p.fragments[0], (i) =>
    each(p.fragments[1], (j) =>
      each(size, (register) => {
        const within = at(layouts.c ?? atom.c.layout!, lane, register)
        const row = add(add(sides[0].first, own.a), add(n(i * atom.m), within.row))
        const column = add(add(sides[1].first, own.b), add(n(j * atom.n), within.column))
        const value = fetch("of_c", n((i * p.fragments[1] + j) * size + register), "f32")
        const offset = add(mul(row, n(p.columns)), column)
        return [when(and(less(row, p.rows), less(column, p.columns)), { kind: "store", array: "y", offset, value })]
      }),
    ),
  )
}
