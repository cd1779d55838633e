/** What is known while the lanes of a workgroup are followed through its loops. */
import type { LoopKernel, Storage } from "../../ir/loop.js"
import type { Names } from "./evaluate.js"
import type { Active, Pattern, Patterns } from "./patterns.js"
import type { LaneValue } from "./values.js"

/** What one workgroup does with one element of the grid, or before the first of them. */
export interface BlockWork {
  /** Operations and elements that are fetched or stored: of all lanes, but once for lanes that do the same; and of the lane that does most. */
  readonly distinctWork: number
  readonly laneWork: number
  /** Operations on values, once for lanes that compute the same. */
  readonly operations: number
  /** Operations on matrix units, and seconds that they take where all cores have such work. */
  readonly products: number
  readonly matrixSeconds: number
  /** Instructions of all subgroups. */
  readonly instructions: number
  /** Cycles that the memory of a workgroup takes to answer. */
  readonly sharedCycles: number
  /** Bytes that are asked of the shared cache: once for lanes of a block that ask for the same, and not what the core has near. */
  readonly requested: number
  /** Iterations of innermost loops that one lane goes through, one after the other. */
  readonly steps: number
  readonly barriers: number
  /** Cycles from the first to the last instruction of a lane. */
  readonly cycles: number
  /** Bytes that the lanes have asked for at once in the stretch of code that asks for most in total. */
  readonly inFlight: number
}

export interface Walk {
  readonly sizes: ReadonlyMap<string, number>
  readonly patterns: Patterns
  /** Cycles until an element of a buffer is there, by its name in the kernel. */
  readonly latency: (buffer: string) => number
  /** Seconds that the device takes for one operation of an atom, with all of its units; not counted when left out. */
  readonly atomSeconds?: (atom: string) => number
  /** How long a loop is taken to be whose length hangs on data. */
  readonly expected: number
}

export interface ArrayFacts {
  readonly space: "buffer" | "shared" | "register"
  readonly storage: Storage
  /** Cycles until an element is there. */
  readonly latency: number
  /** Which lanes have stored the same, in an array that each has for itself. */
  readonly holds: Pattern | undefined
}

export interface State {
  readonly kernel: LoopKernel
  readonly walk: Walk
  readonly group: number
  readonly names: Names
  readonly variables: Map<string, LaneValue>
  readonly mutable: Set<string>
  readonly arrays: Map<string, ArrayFacts>
  readonly work: { -readonly [K in keyof BlockWork]: number }
  /** The loops around that run more than once, and by how much their variable grows at once. */
  readonly loops: { readonly variable: string; readonly extent: number; readonly stride: number }[]
  /** How often the code stands for is run. */
  times: number
  active: Active
  lanes: number
  warps: number
  /** Cycles of iterations that others stand for. */
  skipped: number
  /** Elements that the present statement has fetched or stored. */
  elements: number
  /** Bytes that the present stretch has asked buffers for. */
  asked: number
  /** The most bytes that stretches of one place have asked for in total. */
  mostAsked: number
  /** Cycles at which arrays of fragments have what they were last given. */
  readonly there: Map<string, number>
  /** Cycles at which what was copied is there: since the last commit, and of each group. */
  readonly copies: { open: number; readonly groups: number[]; readonly boxes: number[] }
  /** What has been done when the first element of the grid begins. */
  prologue: BlockWork
}
