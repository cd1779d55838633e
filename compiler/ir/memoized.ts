/**
 * What has been made before is not made again: answers of functions, and nodes, of which equal ones are one object.
 *
 *   const depth: (x: Expression) => number = memoized((x) => 1 + Math.max(0, ...operands(x).map(depth)))
 *   intern("variable i i32 1", () => ({ … }))      the one object with this key
 *
 * The nodes of a compilation lie in a table of its own, most of them by a text that says all of them. Operations, of which there are most
 * by far, lie by a number that is made of those of their operands: texts take longer to make than the nodes.
 */
import type { Literal, OperationNode } from "./nodes.js"
import type { DType } from "./operations.js"

/** What has been made of what: a Map for as long as it is held, a WeakMap for as long as the objects are. */
export interface Made<X, T> {
  get(x: X): T | undefined
  set(x: X, made: T): unknown
}

/** `make`, called once for each argument; a recursion through what this answers with visits every node of a DAG once. */
export function memoized<X, T>(make: (x: X) => T, made: Made<X, T> = new Map()): (x: X) => T {
  return (x) => {
    const known = made.get(x)
    if (known !== undefined) return known
    const now = make(x)
    made.set(x, now)
    return now
  }
}

interface Table {
  readonly spelled: Map<string, object>
  readonly literals: Record<DType, Map<number, Literal>>
  /** By `operationKey`; one whose key is another's lies among the spelled. */
  readonly operations: Map<number, OperationNode>
}

const newTable = (): Table => ({
  spelled: new Map(),
  literals: { f32: new Map(), i32: new Map(), u32: new Map(), bool: new Map() },
  operations: new Map(),
})

let table = newTable()
let nextIdentity = 0

/** Gives back what it is given, for a class to hang a field on. */
class Given {
  constructor(object: object) {
    // biome-ignore lint/correctness/noConstructorReturn: what is constructed is the object that was given.
    return object
  }
}

/** A number on an object, where no copy, comparison or text of the object has it: found sooner than in a table, and nothing to be cleared away. */
class Numbered extends Given {
  readonly #id = nextIdentity++

  static idOf(object: object): number | undefined {
    return #id in object ? object.#id : undefined
  }
}

/** Runs `body` with an empty table: one compilation, one table. */
export const withTable = <T>(body: () => T): T => within(newTable(), body)

/** Runs what comes later with the table of now: nodes that are made then are equal to those of now. */
export function sameTable(): <T>(body: () => T) => T {
  const kept = table
  return (body) => within(kept, body)
}

function within<T>(other: Table, body: () => T): T {
  const before = table
  table = other
  try {
    return body()
  } finally {
    table = before
  }
}

/** A number that is the same for the same object. */
export function identity(node: object): number {
  const known = Numbered.idOf(node)
  if (known !== undefined) return known
  new Numbered(node)
  return nextIdentity - 1
}

/** The one object with this key: every constructor of every language goes through here, or through one of the next two. */
export function intern<T extends object>(key: string, make: () => T): T {
  const found = table.spelled.get(key)
  if (found !== undefined) return found as T
  const made = make()
  table.spelled.set(key, made)
  return made
}

/** The one literal of this value. */
export function internLiteral(value: number, dtype: DType): Literal {
  const make = (): Literal => ({ kind: "literal", dtype, width: 1, value })
  // A Map takes -0 for 0.
  if (Object.is(value, -0)) return intern(`literal ${dtype} -0`, make)
  const known = table.literals[dtype]
  const found = known.get(value)
  if (found !== undefined) return found
  const made = make()
  known.set(value, made)
  return made
}

/** The operation over these operands, if it has been made. */
export function knownOperation(operation: string, args: readonly object[]): OperationNode | undefined {
  let key = operationSeed(operation)
  for (const x of args) {
    const id = Numbered.idOf(x)
    if (id === undefined) return undefined
    key = mixed(key, id)
  }
  const found = table.operations.get(key)
  return found !== undefined && isOver(found, operation, args) ? found : undefined
}

/** The one operation over these operands. */
export function internOperation(node: OperationNode): OperationNode {
  const { operation, args } = node
  let key = operationSeed(operation)
  for (const x of args) key = mixed(key, identity(x))
  const found = table.operations.get(key)
  if (found === undefined) {
    table.operations.set(key, node)
    return node
  }
  if (isOver(found, operation, args)) return found
  return intern(`${operation} ${args.map(identity).join(" ")}`, () => node)
}

function isOver(x: OperationNode, operation: string, args: readonly object[]): boolean {
  if (x.operation !== operation || x.args.length !== args.length) return false
  for (let i = 0; i < args.length; i++) if (x.args[i] !== args[i]) return false
  return true
}

/** Where the key of an operation starts: names in the order in which they are met. */
const seeds = new Map<string, number>()

function operationSeed(operation: string): number {
  let seed = seeds.get(operation)
  if (seed === undefined) {
    seed = seeds.size
    seeds.set(operation, seed)
  }
  return seed
}

/** Knuth's multiplicative hashing: 2^32 over the golden ratio; 30 bits, which a Map finds without a box. */
const mixed = (key: number, id: number): number => {
  const product = Math.imul(key ^ id, 0x9e3779b1)
  return ((product ^ (product >>> 15)) + id) & 0x3fffffff
}
