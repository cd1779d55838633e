/**
 * tile: kernel × schedule → loops, or a refusal with code and reason.
 *
 *   Store y[s, o] = sum_k(x[s, k] · w[o, k])   with   { tile: { o: { block: 64, register: 4 } }, reduce: { k: { vector: 4 } } }
 *   →  for g grid { for lane { for p < 16 { 4 accumulators; for k { … } 4 stores } } }
 *
 * The grid is the concatenation of the stores' blocks. A block first computes the locals that its store reads (over the part that it owns),
 * then runs over its points; a point is a register tile. Points that lie whole inside the domain take the fast body, boundary points a scalar
 * one. With one lane locals live in registers, with several in shared memory behind a barrier.
 */
import { type Dim, literalExtent, maximum } from "../ir/dim.js"
import {
  add,
  apply,
  type Expression,
  freeVariables,
  type LocalRead,
  lane,
  literal,
  mul,
  substitute,
  variable,
  walk,
} from "../ir/expression.js"
import { bufferOf, type Kernel, type Local, type Store, written } from "../ir/kernel.js"
import { type LoopKernel, packed, type Statement } from "../ir/loop.js"
import { symbolsOf } from "../ir/loop-visit.js"
import type { DType } from "../ir/operations.js"
import type { AxisTile, Refusal, Schedule, StoreSchedule } from "../ir/schedule.js"
import type { Axis } from "../ir/tensor.js"
import { type LaneGroup, type Lowerer, lowerValues, type Scope, solve, stepsInside } from "./tile-values.js"
import { flatten, wideOffset } from "./tile-vector.js"

export interface TileOptions {
  /** Workgroups launched at most. */
  readonly maxGroups: number
  /** Bytes of shared memory. */
  readonly sharedBytes: number
}

class Refused extends Error {
  readonly refusal: Refusal
  constructor(code: Refusal["code"], why: string) {
    super(why)
    this.refusal = { code, why }
  }
}

export const isRefusal = (x: LoopKernel | Refusal): x is Refusal => "code" in x

export function tile(kernel: Kernel, schedule: Schedule, options: TileOptions): LoopKernel | Refusal {
  try {
    return build(kernel, schedule, options)
  } catch (e) {
    if (e instanceof Refused) return e.refusal
    throw e
  }
}

/** What the sections of one kernel share. */
interface Build {
  readonly kernel: Kernel
  readonly schedule: Schedule
  readonly fresh: (stem: string) => string
  /** Shared arrays of the whole kernel: name → dtype and size. */
  readonly shared: Map<string, { readonly dtype: DType; size: number }>
}

function build(kernel: Kernel, schedule: Schedule, options: TileOptions): LoopKernel {
  const stores = kernel.items.filter((i) => i.kind === "store")
  if (schedule.stores.length !== stores.length)
    throw new Refused(
      "schedule/shape",
      `the kernel has ${stores.length} stores but the schedule ${schedule.stores.length}`,
    )
  const counts = new Map<string, number>()
  const fresh = (stem: string) => {
    const clean = stem.replace(/[^A-Za-z0-9]/g, "_")
    const n = counts.get(clean) ?? 0
    counts.set(clean, n + 1)
    return `${clean}_${n}`
  }
  const parts: Build = { kernel, schedule, fresh, shared: new Map() }
  const group = variable("group")
  const sections = stores.map((store, i) => section(store, schedule.stores[i]!, parts))
  let start: Expression = literal(0)
  const starts = sections.map((s) => {
    const before = start
    start = add(start, s.groups)
    return before
  })
  const total = start
  // Sections in a chain of ifs: the group number says whose block this is.
  const chain = sections.reduceRight<readonly Statement[]>((otherwise, s, i) => {
    const body = s.emit(apply("sub", group, starts[i]!))
    if (i === sections.length - 1) return body
    return [{ kind: "if", condition: apply("lt", group, starts[i + 1]!), body, otherwise }]
  }, [])
  const allocs = [...parts.shared].map(
    ([name, { dtype, size }]): Statement => ({ kind: "alloc", name, dtype, size, space: "shared" }),
  )
  const bytes = [...parts.shared.values()].reduce((n, { size }) => n + 4 * size, 0)
  if (bytes > options.sharedBytes)
    throw new Refused("local/size", `the locals of a block take ${bytes} bytes, but ${options.sharedBytes} are there`)
  const fence: readonly Statement[] = parts.shared.size > 0 ? [{ kind: "barrier" }] : []
  const body: Statement[] = [
    {
      kind: "for",
      variable: "group",
      extent: total,
      bind: "grid",
      body: [
        ...allocs,
        { kind: "for", variable: "lane", extent: literal(schedule.lanes), bind: "lane", body: [...fence, ...chain] },
      ],
    },
  ]
  const half = kernel.buffers.find((b) => packed(b.storage) && storesSingly(body, b.name))
  if (half !== undefined)
    throw new Refused("store/packed", `two elements of '${half.name}' share a word; a store has to write both`)
  const writes = written(kernel)
  const reads = new Set<string>()
  for (const item of kernel.items)
    walk(item.value, (x) => {
      if (x.kind === "load") reads.add(x.buffer)
    })
  return {
    name: kernel.name,
    buffers: kernel.buffers.map(({ name, dtype, storage, shape }) => ({
      name,
      dtype,
      storage,
      size: literal(shape.reduce((n, s) => n * s, 1)),
      access: writes.has(name) ? (reads.has(name) ? "readwrite" : "write") : "read",
    })),
    symbols: [...symbolsOf(body)].sort(),
    lanes: schedule.lanes,
    groups: Math.max(1, Math.min(options.maxGroups, maximum(total))),
    body,
  }
}

function storesSingly(body: readonly Statement[], buffer: string): boolean {
  return body.some((s) => {
    if (s.kind === "store") return s.array === buffer && s.value.width % 2 !== 0
    if (s.kind === "if") return storesSingly(s.body, buffer) || storesSingly(s.otherwise, buffer)
    return s.kind === "for" && storesSingly(s.body, buffer)
  })
}

/** One axis of a store as its block sees it. */
interface BlockAxis {
  readonly axis: Axis
  readonly tile: AxisTile
  /** Elements of one point: register · vector. */
  readonly step: number
  /** Blocks along the axis. */
  readonly cells: Dim
  /** Points of a block along the axis. */
  readonly points: Dim
  /** Elements that a block owns at most, when known. */
  readonly owned: number | undefined
  /** The variable that holds the block's number along the axis, when there are several. */
  readonly cell: (Expression & { kind: "variable" }) | undefined
  /** First element of the block: a multiple of `block`, visibly. */
  readonly base: Expression
}

function section(
  store: Store,
  schedule: StoreSchedule,
  parts: Build,
): { readonly groups: Dim; emit(cell: Expression): readonly Statement[] } {
  if (store.monoid !== undefined) throw new Refused("store/monoid", "accumulating stores are not tiled yet")
  const names = new Set(store.axes.map((a) => a.name))
  for (const name of Object.keys(schedule.tile))
    if (!names.has(name)) throw new Refused("schedule/unknown-axis", `the store has no axis '${name}'`)
  const axes = store.axes.map((axis) => blockAxis(axis, schedule.tile[axis.name] ?? { block: 1 }, parts.fresh))
  if (axes.filter((a) => (a.tile.vector ?? 1) > 1).length > 1)
    throw new Refused("tile/vector", "only one axis of a store may be a vector")
  const vectored = axes.find((a) => (a.tile.vector ?? 1) > 1)
  if (vectored !== undefined && [store.value, ...store.index].some((x) => stepsInside(x, vectored.axis.name)))
    throw new Refused("tile/vector", `a prefix ends at '${vectored.axis.name}', elsewhere in each lane`)
  if (axes.some((a) => literalExtent(a.axis.extent) === 0)) return { groups: literal(0), emit: () => [] }
  const groups = axes.reduce<Dim>((n, a) => mul(n, a.cells), literal(1))
  return { groups, emit: (cell) => emitSection(store, axes, schedule, cell, parts) }
}

function blockAxis(axis: Axis, tile: AxisTile, fresh: (stem: string) => string): BlockAxis {
  const step = (tile.register ?? 1) * (tile.vector ?? 1)
  const extent = literalExtent(axis.extent)
  const ceil = (d: Dim, n: number): Dim => apply("floordiv", add(d, literal(n - 1)), literal(n))
  const whole = {
    axis,
    tile,
    step,
    cells: literal(1),
    points: ceil(axis.extent, step),
    owned: extent,
    cell: undefined,
    base: literal(0),
  }
  if (tile.block === "all" || (extent !== undefined && extent <= tile.block)) return whole
  if (tile.block % step !== 0)
    throw new Refused("tile/indivisible", `block ${tile.block} of '${axis.name}' is no multiple of ${step}`)
  const cell = variable(fresh(`${axis.name}_block`))
  return {
    axis,
    tile,
    step,
    cells: ceil(axis.extent, tile.block),
    points: literal(tile.block / step),
    owned: tile.block,
    cell,
    base: mul(cell, literal(tile.block)),
  }
}

function emitSection(
  store: Store,
  axes: readonly BlockAxis[],
  schedule: StoreSchedule,
  cell: Expression,
  parts: Build,
): readonly Statement[] {
  const out: Statement[] = []
  // The block's number along each axis, the last axis the fastest.
  let rest = cell
  for (const [i, a] of [...axes].reverse().entries()) {
    if (a.cell === undefined) continue
    const slowest = axes.slice(0, axes.length - 1 - i).every((b) => b.cell === undefined)
    const number = slowest ? rest : apply("rem", rest, a.cells)
    out.push({ kind: "let", name: a.cell.name, value: number, mutable: false })
    if (!slowest) {
      const name = parts.fresh("cell")
      out.push({ kind: "let", name, value: apply("div", rest, a.cells), mutable: false })
      rest = variable(name)
    }
  }
  const homes = emitLocals(store, axes, parts, out)
  const lowerer = createLowerer(parts, homes, (axis) => schedule.reduce[axis] ?? {})
  const shares = new Set(
    Object.values(schedule.reduce).flatMap((r) => (r.lanes !== undefined && r.lanes > 1 ? [r.lanes] : [])),
  )
  if (shares.size > 1)
    throw new Refused("reduce/lanes", "the reductions of one store must share the same number of lanes")
  const [together = 1] = shares
  if (parts.schedule.lanes % together !== 0 || (together & (together - 1)) !== 0)
    throw new Refused("reduce/lanes", `${together} lanes do not divide the workgroup's ${parts.schedule.lanes}`)

  // What depends on the block only is computed once, before its points.
  const fixed = new Map(
    axes
      .filter((a) => a.owned === 1 || (literalExtent(a.points) === 1 && a.step === 1))
      .map((a) => [a.axis.name, a.base] as const),
  )
  const bound = new Set(axes.flatMap((a) => (a.cell === undefined ? [] : [a.cell.name])))
  const group = laneGroup(together, parts)
  const start: Scope = { out, bound, vector: undefined, lanes: group, solved: new Map() }
  const value = substitute(store.value, fixed)
  const index = store.index.map((i) => substitute(i, fixed))
  const solved = solve([value, ...index], start, lowerer)
  emitPoints({ ...store, value, index }, axes, together, { ...start, solved }, lowerer, parts)
  return out
}

const laneVariable = variable("lane")

function laneGroup(count: number, parts: Build): LaneGroup | undefined {
  if (count === 1) return undefined
  const index = apply("bitand", laneVariable, literal(count - 1))
  const array = (dtype: DType) => {
    const name = `exchange_${dtype}`
    parts.shared.set(name, { dtype, size: parts.schedule.lanes })
    return name
  }
  return { index, count, first: apply("sub", laneVariable, index), subgroup: parts.schedule.subgroup ?? 1, array }
}

/** The loop over a block's points, shared out over the lanes. */
function emitPoints(
  store: Store,
  axes: readonly BlockAxis[],
  together: number,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const workers = parts.schedule.lanes / together
  const worker =
    workers === 1 ? literal(0) : together === 1 ? laneVariable : apply("floordiv", laneVariable, literal(together))
  const points = axes.reduce<Dim>((n, a) => mul(n, a.points), literal(1))
  const turnName = parts.fresh("point")
  const turns = apply("floordiv", add(points, literal(workers - 1)), literal(workers))
  const once = literalExtent(turns) === 1
  const point = add(mul(once ? literal(0) : variable(turnName), literal(workers)), worker)
  const spare = literalExtent(points) === undefined || literalExtent(points)! % workers !== 0
  const body: Statement[] = []
  // The point's number along each axis. Lanes that share a reduction take part in one that exists, also where no point is left for them.
  const firsts = new Map<string, Expression>()
  let rest: Expression = spare && together > 1 ? apply("min", point, apply("sub", points, literal(1))) : point
  for (const [i, a] of [...axes].reverse().entries()) {
    const slowest = i === axes.length - 1
    const single = literalExtent(a.points) === 1
    const number = single ? literal(0) : slowest ? rest : apply("rem", rest, a.points)
    if (!single && !slowest) rest = apply("div", rest, a.points)
    if (number.kind === "literal" || number.kind === "variable") {
      firsts.set(a.axis.name, add(a.base, mul(number, literal(a.step))))
      continue
    }
    const name = parts.fresh(`${a.axis.name}_point`)
    body.push({ kind: "let", name, value: number, mutable: false })
    firsts.set(a.axis.name, add(a.base, mul(variable(name), literal(a.step))))
  }
  const bound = new Set([...scope.bound, turnName])
  for (const f of firsts.values()) for (const n of freeVariables(f)) bound.add(n)
  const inner: Scope = { ...scope, out: body, bound }
  if (together > 1)
    emitShared(store, axes, firsts, spare ? apply("lt", point, points) : literal(1, "bool"), inner, lowerer)
  else {
    const emitted: Statement[] = []
    emitTile(store, axes, firsts, { ...inner, out: emitted }, lowerer, parts)
    body.push(
      ...(spare
        ? [{ kind: "if", condition: apply("lt", point, points), body: emitted, otherwise: [] } as const]
        : emitted),
    )
  }
  if (once) scope.out.push(...body)
  else scope.out.push({ kind: "for", variable: turnName, extent: turns, bind: "serial", body })
}

/** Lanes share a reduction, so all of them go the same way: coordinates are kept inside, and only valid points are stored. */
function emitShared(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  valid: Expression,
  scope: Scope,
  lowerer: Lowerer,
): void {
  if (axes.some((a) => a.step > 1))
    throw new Refused(
      "reduce/lanes",
      "lanes that share a reduction take one element at a time, no registers or vectors",
    )
  let inside = valid
  const at = new Map<string, Expression>()
  for (const a of axes) {
    const first = firsts.get(a.axis.name)!
    if (always(a)) at.set(a.axis.name, first)
    else {
      inside = apply("and", inside, apply("lt", first, a.axis.extent))
      at.set(a.axis.name, apply("min", first, apply("sub", a.axis.extent, literal(1))))
    }
  }
  const [value, ...index] = lowerValues(
    [store.value, ...store.index].map((x) => substitute(x, at)),
    scope,
    lowerer,
  )
  const shape = bufferShape(store, lowerer)
  const keep = apply("and", inside, apply("eq", scope.lanes!.index, literal(0)))
  scope.out.push({
    kind: "if",
    condition: keep,
    body: [{ kind: "store", array: store.buffer, offset: flatten(index, shape), value: value! }],
    otherwise: [],
  })
}

/** Whether a block's points along an axis always lie inside of the domain. */
function always(a: BlockAxis): boolean {
  const extent = literalExtent(a.axis.extent)
  if (a.step === 1 && a.tile.block === 1) return true
  if (a.step === 1 && a.cell === undefined) return true
  if (extent === undefined) return false
  return a.cell === undefined ? extent % a.step === 0 : extent % (a.tile.block as number) === 0
}

/** A register tile: the fast body when the whole tile lies inside, else one element after the other. */
function emitTile(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const unsure = axes.filter((a) => !always(a))
  const fast: Statement[] = []
  emitFast(store, axes, firsts, { ...scope, out: fast }, lowerer, parts)
  if (unsure.length === 0) {
    scope.out.push(...fast)
    return
  }
  const whole = unsure
    .map((a) => apply("le", add(firsts.get(a.axis.name)!, literal(a.step)), a.axis.extent))
    .reduce((a, b) => apply("and", a, b))
  const slow: Statement[] = []
  const partial = axes.some((a) => a.step > 1 && !neverPartial(a))
  if (partial) emitSlow(store, axes, firsts, { ...scope, out: slow }, lowerer, parts)
  scope.out.push({ kind: "if", condition: whole, body: fast, otherwise: slow })
}

/** A tile of this axis lies inside or outside, never across the end. */
function neverPartial(a: BlockAxis): boolean {
  const extent = literalExtent(a.axis.extent)
  return extent !== undefined && extent % a.step === 0
}

function emitFast(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const vectored = axes.find((a) => (a.tile.vector ?? 1) > 1)
  const width = vectored?.tile.vector ?? 1
  const laneName = parts.fresh("lane")
  let copies: ReadonlyMap<string, Expression>[] = [new Map()]
  for (const a of axes) {
    const registers = a.tile.register ?? 1
    const span = a === vectored ? width : 1
    copies = copies.flatMap((c) =>
      Array.from({ length: registers }, (_, r) => {
        const first = add(firsts.get(a.axis.name)!, literal(r * span))
        return new Map(c).set(a.axis.name, a === vectored ? add(first, variable(laneName)) : first)
      }),
    )
  }
  // With a vector axis each copy is `first + lane` where the lane variable runs over 0 … width − 1; its base is aligned to the width.
  const vector = vectored === undefined ? undefined : { name: laneName, base: literal(0), width }
  const inner: Scope = {
    ...scope,
    vector,
    bound: vector === undefined ? scope.bound : new Set(scope.bound).add(laneName),
  }
  const shape = bufferShape(store, lowerer)
  const values = copies.map((c) => substitute(store.value, c))
  const offsets = copies.map((c) =>
    flatten(
      store.index.map((i) => substitute(i, c)),
      shape,
    ),
  )
  const lowered = lowerValues([...values, ...(vector === undefined ? offsets : [])], inner, lowerer)
  for (const [i] of copies.entries()) {
    const value = lowered[i]!
    if (vector === undefined) {
      scope.out.push({ kind: "store", array: store.buffer, offset: lowered[copies.length + i]!, value })
      continue
    }
    const start = wideOffset(offsets[i]!, vector)
    if (start !== undefined) {
      const [offset] = lowerValues([start], { ...inner, vector: undefined }, lowerer)
      scope.out.push({
        kind: "store",
        array: store.buffer,
        offset: offset!,
        value: value.width === width ? value : { kind: "splat", dtype: value.dtype, width, of: value },
      })
    } else
      for (let j = 0; j < width; j++) {
        const at = substitute(offsets[i]!, new Map([[laneName, literal(j)]]))
        const [offset] = lowerValues([at], { ...inner, vector: undefined }, lowerer)
        scope.out.push({
          kind: "store",
          array: store.buffer,
          offset: offset!,
          value: value.width === 1 ? value : lane(value, j),
        })
      }
  }
}

/** Boundary tiles: loops over what is left of each axis. */
function emitSlow(
  store: Store,
  axes: readonly BlockAxis[],
  firsts: ReadonlyMap<string, Expression>,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const loops: { readonly name: string; readonly extent: Expression }[] = []
  const at = new Map<string, Expression>()
  const bound = new Set(scope.bound)
  for (const a of axes) {
    const first = firsts.get(a.axis.name)!
    if (a.step === 1 && always(a)) {
      at.set(a.axis.name, first)
      continue
    }
    const name = parts.fresh(a.axis.name)
    const left = apply("max", literal(0), apply("min", literal(a.step), apply("sub", a.axis.extent, first)))
    loops.push({ name, extent: left })
    at.set(a.axis.name, add(first, variable(name)))
    bound.add(name)
  }
  const body: Statement[] = []
  const [value, ...index] = lowerValues(
    [store.value, ...store.index].map((x) => substitute(x, at)),
    { ...scope, out: body, bound },
    lowerer,
  )
  body.push({ kind: "store", array: store.buffer, offset: flatten(index, bufferShape(store, lowerer)), value: value! })
  const nest = loops.reduceRight<readonly Statement[]>(
    (inner, l) => [{ kind: "for", variable: l.name, extent: l.extent, bind: "serial", body: inner }],
    body,
  )
  scope.out.push(...nest)
}

const shapes = new WeakMap<Lowerer, (buffer: string) => readonly number[]>()
const bufferShape = (store: Store, lowerer: Lowerer) => shapes.get(lowerer)!(store.buffer)

/** Where a local lives for one block. */
interface Home {
  readonly array: string | undefined
  /** The value itself, when the block owns one element and one lane. */
  readonly scalar: Expression | undefined
  /** The offset in the array of an index. */
  readonly offset: (index: readonly Expression[]) => Expression
}

function createLowerer(parts: Build, homes: ReadonlyMap<string, Home>, folding: Lowerer["folding"]): Lowerer {
  const lowerer: Lowerer = {
    fresh: parts.fresh,
    folding,
    scalar: (local) => homes.get(local)?.scalar,
    place: (x) => {
      if (x.kind === "load")
        return { array: x.buffer, offset: flatten(x.index, bufferOf(parts.kernel, x.buffer).shape) }
      const home = homes.get(x.local)!
      return { array: home.array!, offset: home.offset(x.index) }
    },
  }
  shapes.set(lowerer, (buffer) => bufferOf(parts.kernel, buffer).shape)
  return lowerer
}

/** Computes the locals that a store needs over the part that its block owns. */
function emitLocals(
  store: Store,
  axes: readonly BlockAxis[],
  parts: Build,
  out: Statement[],
): ReadonlyMap<string, Home> {
  const locals = parts.kernel.items.filter((i) => i.kind === "local")
  const wanted = wantedLocals(store, locals)
  const homes = new Map<string, Home>()
  const alignments = alignLocals(store, wanted, locals)
  const bound = new Set(axes.flatMap((a) => (a.cell === undefined ? [] : [a.cell.name])))
  for (const local of wanted) {
    const along = alignments.get(local.name)!
    const held = local.axes.map((axis, i) => {
      const owner = along[i] === undefined ? undefined : axes.find((a) => a.axis.name === along[i])!
      const size = owner === undefined ? literalExtent(axis.extent) : owner.owned
      if (size === undefined)
        throw new Refused(
          "local/unowned",
          `'${local.name}' is read all along '${axis.name}', whose extent is not known; a block cannot hold it`,
        )
      return { axis, owner, size }
    })
    const size = held.reduce((n, h) => n * h.size, 1)
    if (size === 0) {
      // Nobody reads an element of it.
      homes.set(local.name, { array: undefined, scalar: literal(0, local.value.dtype), offset: () => literal(0) })
      continue
    }
    if (size > 16384) throw new Refused("local/size", `'${local.name}' has ${size} elements in a block`)
    const single = size === 1 && parts.schedule.lanes === 1
    const array = single ? undefined : parts.fresh(local.name)
    const offset = (index: readonly Expression[]) =>
      held.reduce<Expression>(
        (flat, h, i) =>
          h.size === 1
            ? flat
            : add(
                mul(flat, literal(h.size)),
                h.owner === undefined ? index[i]! : apply("sub", index[i]!, h.owner.base),
              ),
        literal(0),
      )
    const shared = parts.schedule.lanes > 1
    if (array !== undefined && shared) parts.shared.set(array, { dtype: local.value.dtype, size })
    if (array !== undefined && !shared)
      out.push({ kind: "alloc", name: array, dtype: local.value.dtype, size, space: "register" })
    emitLocal(local, held, size, array, homes, offset, bound, parts, out)
    if (shared) out.push({ kind: "barrier" })
  }
  return homes
}

interface Held {
  readonly axis: Axis
  readonly owner: BlockAxis | undefined
  readonly size: number
}

function emitLocal(
  local: Local,
  held: readonly Held[],
  size: number,
  array: string | undefined,
  homes: Map<string, Home>,
  offset: Home["offset"],
  bound: ReadonlySet<string>,
  parts: Build,
  out: Statement[],
): void {
  const lowerer = createLowerer(parts, homes, (axis) => parts.schedule.locals[axis] ?? {})
  const { lanes } = parts.schedule
  let together = 1
  walk(local.value, (x) => {
    if (x.kind === "reduce") together = Math.max(together, parts.schedule.locals[x.axis]?.lanes ?? 1)
  })
  if (lanes % together !== 0 || (together & (together - 1)) !== 0)
    throw new Refused("reduce/lanes", `${together} lanes do not divide the workgroup's ${lanes}`)
  const workers = lanes / together
  const worker =
    workers === 1 ? literal(0) : together === 1 ? laneVariable : apply("floordiv", laneVariable, literal(together))
  const turns = Math.ceil(size / workers)
  const name = parts.fresh("element")
  const element = add(mul(turns === 1 ? literal(0) : variable(name), literal(workers)), worker)
  const body: Statement[] = []
  const spare = turns * workers !== size
  const safe = spare && together > 1 ? apply("min", element, literal(size - 1)) : element
  // The coordinates of the element; beyond the domain's end they stay inside, for a block may reach over it.
  const at = new Map<string, Expression>()
  let rest: Expression = safe
  for (const [i, h] of [...held].reverse().entries()) {
    const number = h.size === 1 ? literal(0) : i === held.length - 1 ? rest : apply("floormod", rest, literal(h.size))
    if (h.size > 1) rest = apply("floordiv", rest, literal(h.size))
    const first = h.owner === undefined ? number : add(h.owner.base, number)
    const inside =
      h.owner === undefined ||
      h.size === literalExtent(h.axis.extent) ||
      h.owner.tile.block === 1 ||
      h.owner.tile.block === "all"
    at.set(h.axis.name, inside ? first : apply("min", first, apply("sub", h.axis.extent, literal(1))))
  }
  const inner = new Set([...bound, name, "lane"])
  const scope: Scope = {
    out: body,
    bound: inner,
    vector: undefined,
    lanes: laneGroup(together, parts),
    solved: new Map(),
  }
  const [value] = lowerValues([substitute(local.value, at)], scope, lowerer)
  if (array === undefined) {
    const kept = parts.fresh(local.name)
    out.push(...body, { kind: "let", name: kept, value: value!, mutable: false })
    homes.set(local.name, { array: undefined, scalar: variable(kept, local.value.dtype), offset })
    return
  }
  const store: Statement = { kind: "store", array, offset: element, value: value! }
  const conditions: Expression[] = []
  if (spare) conditions.push(apply("lt", element, literal(size)))
  if (together > 1) conditions.push(apply("eq", scope.lanes!.index, literal(0)))
  if (conditions.length === 0) body.push(store)
  else if (together > 1)
    body.push({ kind: "if", condition: conditions.reduce((a, b) => apply("and", a, b)), body: [store], otherwise: [] })
  const guarded: readonly Statement[] =
    conditions.length > 0 && together === 1
      ? [{ kind: "if", condition: conditions[0]!, body: [...body, store], otherwise: [] }]
      : body
  if (turns === 1) out.push(...guarded)
  else out.push({ kind: "for", variable: name, extent: literal(turns), bind: "serial", body: guarded })
  homes.set(local.name, { array, scalar: undefined, offset })
}

/** The locals that a store reads, those that they read first. */
function wantedLocals(store: Store, locals: readonly Local[]): readonly Local[] {
  const names = new Set<string>()
  const visit = (x: Expression) =>
    walk(x, (e) => {
      if (e.kind !== "localRead" || names.has(e.local)) return
      names.add(e.local)
      visit(locals.find((l) => l.name === e.local)!.value)
    })
  visit(store.value)
  for (const i of store.index) visit(i)
  return locals.filter((l) => names.has(l.name))
}

/**
 * Per local and axis: the axis of the store at whose own point it is always read, or undefined when it is read elsewhere, too. A local that is
 * read by another local at that one's own axis follows it.
 */
function alignLocals(
  store: Store,
  wanted: readonly Local[],
  locals: readonly Local[],
): ReadonlyMap<string, readonly (string | undefined)[]> {
  const axisNames = new Set(store.axes.map((a) => a.name))
  const found = new Map<string, (string | undefined)[]>()
  const note = (read: LocalRead, follow: (x: Expression) => string | undefined) => {
    const seen = read.index.map(follow)
    const before = found.get(read.local)
    found.set(read.local, before === undefined ? seen : before.map((b, i) => (b === seen[i] ? b : undefined)))
  }
  const reads = (x: Expression, follow: (x: Expression) => string | undefined) =>
    walk(x, (e) => {
      if (e.kind === "localRead") note(e, follow)
    })
  for (const x of [store.value, ...store.index])
    reads(x, (e) => (e.kind === "variable" && axisNames.has(e.name) ? e.name : undefined))
  // Readers before what they read: the list is in order of computation.
  for (const local of [...wanted].reverse()) {
    const mine = found.get(local.name) ?? local.axes.map(() => undefined)
    reads(locals.find((l) => l.name === local.name)!.value, (e) => {
      const i = e.kind === "variable" ? local.axes.findIndex((a) => a.name === e.name) : -1
      return i < 0 ? undefined : mine[i]
    })
  }
  return found
}
