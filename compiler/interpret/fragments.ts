/**
 * What the lanes of a group do together while a loop kernel is interpreted: products of fragments, and their way from and to memory.
 *
 *   multiply c[0] += a[0] * b[0] by mma.m16n8k16.bf16
 *   each of 32 lanes leaves its offsets and waits; then a (16 × 16), b (16 × 8) and c (16 × 8) are put together from their registers by the
 *   layouts, c grows by one product after the other, k ascending, rounded each time; and goes back to the registers
 *
 * Where only the hardware knows the layout, lane l holds the elements from l · size on, row by row; no other statement sees it.
 */
import { type Atom, atoms, fragmentSize, shapeOf } from "../ir/fragments/atoms.js"
import { coordinatesOf } from "../ir/fragments/layout.js"
import { isTile, type OperandName, type Place, type StatementOf, type Tile } from "../ir/loop.js"
import type { Expression } from "../ir/nodes.js"
import {
  type ArrayState,
  checkArrived,
  checkAwaited,
  checkRange,
  elementOf,
  fault,
  type Machine,
  manyLanes,
  readArray,
  writeArray,
  writers,
} from "./loop-machine.js"
import { arrayOf, type Compilation, emit, reserve, setter, value, wait } from "./loop-program.js"
import { begin } from "./underway/pending.js"
import { type Adder, addProducts } from "./units.js"

/** The lanes of a group that something is done for. */
interface Group {
  readonly program: Compilation
  readonly atom: Atom
  readonly first: number
}

/** An operand of an atom: its extents, and where its elements go by lane and register, row by row. */
interface Shape {
  readonly name: OperandName
  readonly rows: number
  readonly columns: number
  /** Elements of a lane. */
  readonly size: number
  readonly elements: Int32Array
  readonly opaque: boolean
}

const shapes = new Map<string, Shape>()

function shapeFor(atom: Atom, name: OperandName): Shape {
  const key = `${atom.name} ${name}`
  const known = shapes.get(key)
  if (known !== undefined) return known
  const [{ rows, columns }, size, { layout }] = [shapeOf(atom, name), fragmentSize(atom, name), atom[name]]
  const elements = Int32Array.from({ length: rows * columns }, (_, i) => {
    if (layout === undefined) return i
    const { row, column } = coordinatesOf(layout, Math.floor(i / size), i % size)
    return row * columns + column
  })
  const made = { name, rows, columns, size, elements, opaque: layout === undefined }
  shapes.set(key, made)
  return made
}

const atomOf = (program: Compilation, name: string): Atom =>
  atoms.get(name) ?? fault(program.machine, "malformed", `there is no atom ${name}`)

/** Each lane leaves what it gives and waits; when the group is complete `run` is told what they gave. */
function meet(
  program: Compilation,
  atom: Atom,
  given: readonly Expression[],
  run: (group: Group, given: readonly number[]) => void,
): void {
  const { machine, meetings, counters } = program
  const from = reserve(program, given.length)
  const values = given.map((x) => value(program, x))
  const { lanes } = atom
  meetings.set(program.code.length, {
    kind: "group",
    lanes,
    from,
    count: given.length,
    counters: [...counters],
    run: (first) => {
      const start = first * program.slots + from
      run({ program, atom, first }, [...machine.variables.subarray(start, start + given.length)])
    },
  })
  emit(program, () => setter(program, from, values, wait))
}

/** Makes a lane of the group the current one. */
function turnTo({ program: { machine, slots }, first }: Group, lane: number): void {
  machine.lane = first + lane
  machine.base = machine.lane * slots
}

function eachLane(group: Group, see: () => void): void {
  for (let lane = 0; lane < group.atom.lanes; lane++) {
    turnTo(group, lane)
    see()
  }
}

function eachElement(group: Group, { elements, size }: Shape, see: (register: number, element: number) => void): void {
  for (let lane = 0; lane < group.atom.lanes; lane++) {
    turnTo(group, lane)
    for (let register = 0; register < size; register++) see(register, elements[lane * size + register]!)
  }
}

/** A fragment starts at a multiple of what a lane holds of one. */
function checkFragment(machine: Machine, array: ArrayState, offset: number, size: number): void {
  if (offset % size !== 0)
    fault(machine, "misaligned", `${array.name}[${offset}] does not start at a multiple of ${size}, a fragment`)
  if (!(offset >= 0 && offset + size <= array.size))
    fault(machine, "out-of-range", `${array.name}[${offset} : ${size}] is outside of its ${array.size} elements`)
}

/** The elements of a fragment, row by row. */
function fragmentValues(group: Group, shape: Shape, array: ArrayState, offset: number): Float64Array {
  const { machine } = group.program
  checkFragment(machine, array, offset, shape.size)
  const values = new Float64Array(shape.elements.length)
  eachElement(group, shape, (register, element) => {
    values[element] = readArray(machine, array, offset + register)
  })
  return values
}

interface Lies {
  readonly stride: number
  readonly transposed: boolean
  readonly panel?: number
}

const offsetIn = ({ columns }: Shape, { stride, transposed, panel }: Lies, offset: number, element: number): number => {
  const [row, column] = [Math.floor(element / columns), element % columns]
  const [across, along] = transposed ? [column, row] : [row, column]
  const within = panel === undefined ? along : (along % stride) + Math.floor(along / stride) * panel
  return offset + across * stride + within
}

/** The elements of a tile that no lane reads by itself. */
function tileValues(group: Group, shape: Shape, lies: Lies, array: ArrayState, offset: number): Float64Array {
  const { machine } = group.program
  turnTo(group, 0)
  const by = array.underway?.by
  // Of the group's lanes the one that has waited for least, and the one that has left most.
  const lanes =
    by === undefined ? [] : [least(group, (lane) => by.passed[lane]!), least(group, (lane) => -by.left[lane]!)]
  return Float64Array.from(shape.elements, (_, element) => {
    const at = offsetIn(shape, lies, offset, element)
    checkRange(machine, array, at, 1)
    for (const lane of lanes) checkArrived(machine, array, array.underway!, at, lane)
    return readAs(machine, array, at, true)
  })
}

/** The lane of a group of which a number is least. */
function least({ first, atom }: Group, of: (lane: number) => number): number {
  let found = first
  for (let lane = first; lane < first + atom.lanes; lane++) if (of(lane) < of(found)) found = lane
  return found
}

export function addMultiply(program: Compilation, s: StatementOf<"multiply">): void {
  const atom = atomOf(program, s.atom)
  const { machine, expressions } = program
  const round = expressions.float64 ? (x: number) => x : Math.fround
  const [c, a, b] = [s.c, s.a, s.b].map((p) => arrayOf(program, p.array)) as [ArrayState, ArrayState, ArrayState]
  const shape = { a: shapeFor(atom, "a"), b: shapeFor(atom, "b"), c: shapeFor(atom, "c") }
  if (atom.asynchronous) for (const array of [c, a, b]) array.asynchronous = true
  const valuesOf = (group: Group, name: "a" | "b", array: ArrayState, offset: number) =>
    isTile(s[name])
      ? tileValues(group, shape[name], s[name], array, offset)
      : fragmentValues(group, shape[name], array, offset)
  meet(program, atom, [s.c.offset, s.a.offset, s.b.offset], (group, [atC, atA, atB]) => {
    const left = valuesOf(group, "a", a, atA!)
    const right = valuesOf(group, "b", b, atB!)
    if (atom.asynchronous && s.fresh !== true) takeUp(group, shape.c, c, atC!)
    const sums = s.fresh === true ? new Float64Array(atom.m * atom.n) : fragmentValues(group, shape.c, c, atC!)
    multiply(atom, sums, left, right, machine.adder ?? round)
    eachElement(group, shape.c, (register, element) => writeArray(machine, c, atC! + register, sums[element]!))
    if (!atom.asynchronous) return
    holdResult(group, shape.c, c, atC!)
    hold(group, shape.a, s.a, a, atA!)
    hold(group, shape.b, s.b, b, atB!)
  })
}

function multiply(
  { m, n, k }: Atom,
  c: Float64Array,
  a: Float64Array,
  b: Float64Array,
  adds: Adder | ((x: number) => number),
): void {
  for (let row = 0; row < m; row++)
    for (let column = 0; column < n; column++) {
      let sum = c[row * n + column]!
      if (typeof adds !== "function") sum = addProducts(adds, sum, a, row * k, b, column, n, k)
      else for (let i = 0; i < k; i++) sum = adds(sum + adds(a[row * k + i]! * b[i * n + column]!))
      c[row * n + column] = sum
    }
}

/** What products of the same group are making is added to in turn. */
function takeUp(group: Group, shape: Shape, array: ArrayState, offset: number): void {
  const { machine } = group.program
  const { writer } = array.underway!
  eachElement(group, shape, (register) => {
    const at = elementOf(machine, array, offset + register)
    if (writer[at] === writers.product) writer[at] = writers.nothing
  })
}

/** Nobody may touch the result before its lane has waited. */
function holdResult(group: Group, shape: Shape, array: ArrayState, offset: number): void {
  const { machine } = group.program
  const { writer } = array.underway!
  eachLane(group, () => {
    const at = elementOf(machine, array, offset)
    writer.fill(writers.product, at, at + shape.size)
    begin(machine, "products", () => writer.fill(writers.nothing, at, at + shape.size))
  })
}

/** Nobody may store to what is read, before the lanes have waited. */
function hold(group: Group, shape: Shape, place: Place | Tile, array: ArrayState, offset: number): void {
  const { machine } = group.program
  const { readers } = array.underway!
  const change = (at: readonly number[], by: number) => {
    for (const i of at) readers[i] = readers[i]! + by
  }
  if (!isTile(place)) {
    eachLane(group, () => {
      const first = elementOf(machine, array, offset)
      const held = Array.from({ length: shape.size }, (_, i) => first + i)
      change(held, 1)
      begin(machine, "products", () => change(held, -1))
    })
    return
  }
  const held = Array.from(shape.elements.keys(), (element) => offsetIn(shape, place, offset, element))
  change(held, 1)
  let waiting = group.atom.lanes
  const end = () => {
    waiting--
    if (waiting > 0) return
    change(held, -1)
    // They were read until now: who stores to them has to wait for a barrier after this.
    for (const at of held) readAs(machine, array, at, true)
  }
  eachLane(group, () => begin(machine, "products", end))
}

export function addFill(program: Compilation, s: StatementOf<"fill">): void {
  const atom = atomOf(program, s.atom)
  const { machine } = program
  const [to, from, shape] = [arrayOf(program, s.to.array), arrayOf(program, s.from.array), shapeFor(atom, s.operand)]
  meet(program, atom, [s.to.offset, s.from.offset, s.stride], (group, [atTo, atFrom, stride]) => {
    for (let i = 0; i < s.count; i++) {
      const offset = atTo! + i * shape.size
      checkFragment(machine, to, offset, shape.size)
      eachElement(group, shape, (register, element) => {
        const at = offsetIn(shape, { stride: stride!, transposed: s.transposed }, atFrom! + i * s.step, element)
        if (from.waits) checkAwaited(machine, from)
        checkRange(machine, from, at, 1)
        writeArray(machine, to, offset + register, readAs(machine, from, at, shape.opaque))
      })
    }
  })
}

/** What the hardware gives to a lane, or to any of the group. */
function readAs(machine: Machine, array: ArrayState, at: number, anyLane: boolean): number {
  const { lane } = machine
  if (anyLane) machine.lane = manyLanes
  const read = readArray(machine, array, at)
  machine.lane = lane
  return read
}

export function addDrain(program: Compilation, s: StatementOf<"drain">): void {
  const atom = atomOf(program, s.atom)
  const { machine } = program
  const [to, from, shape] = [arrayOf(program, s.to.array), arrayOf(program, s.from.array), shapeFor(atom, "c")]
  meet(program, atom, [s.to.offset, s.from.offset, s.stride], (group, [atTo, atFrom, stride]) => {
    checkFragment(machine, from, atFrom!, shape.size)
    eachElement(group, shape, (register, element) => {
      const at = offsetIn(shape, { stride: stride!, transposed: s.transposed }, atTo!, element)
      checkRange(machine, to, at, 1)
      const made = readArray(machine, from, atFrom! + register)
      const { lane } = machine
      if (shape.opaque) machine.lane = manyLanes
      writeArray(machine, to, at, made)
      machine.lane = lane
    })
  })
}
