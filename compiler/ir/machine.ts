/**
 * Machines as data: what the passes may assume of what will run a kernel. A target (targets/target.ts) is a machine with passes and a printer.
 */
import type { MatrixSpelling } from "../../runtime/matrices.js"
import type { Half } from "./loop.js"

export interface Machine extends BindingLimits {
  readonly schedule: ScheduleTarget
  readonly tile: TileOptions
  /**
   * Rows, such as tokens of a prompt, for up to which an entry is compiled, ascending: each number of rows is laid out in its own way. The last is the most
   * that one step takes where nobody says otherwise.
   */
  readonly bounds: readonly number[]
  /** When rows are grouped by what data choose for them: it pays where a register tile runs along the places. Never when left out. */
  readonly gather?: GatherLimits
  /** Numbers that programs leave to the machine, by name; what the program says where a name is not among them. */
  readonly choices: Readonly<Record<string, number>>
  /** Whether its passes take products of halves in f16 (half-products.ts), so that operands should be in that range. */
  readonly narrow?: boolean
  /** Whether integers of 16 bits are multiplied by pairs, faster than numbers: `integer-sums.ts` rounds operands to such where results need not be exact. */
  readonly integers?: true
  /** How the numbers are held that weights in formats are scaled by; as the formats say when left out. */
  readonly scales?: Scales
  /** When long folds are split over blocks; never when left out. */
  readonly split?: SplitLimits
}

/** Numbers of 16 bits in 32 (`wide.ts` of the formats), or those of a column beside one another (`across.ts`). */
export type Scales = "wide" | "across"

/** What one kernel may bind. */
export interface BindingLimits {
  readonly bindings: number
  readonly bindingBytes: number
}

export interface GatherLimits {
  /** Rows for each value of the index, at the symbols' hints, from which rows are grouped. */
  readonly rows: number
  /** Places of a block: rows that share what they read. */
  readonly block: number
}

export interface SplitLimits {
  /** Blocks that keep the device busy; a kernel with half of them is not split. */
  readonly busy: number
  /** Parts at most. */
  readonly parts: number
  /** Elements of a part at least. */
  readonly least: number
}

/** What a kernel asks memory for while it still waits for earlier launches. */
export interface AskLimits {
  /** Reads of one lane at most. */
  readonly reads: number
  /** Bytes of a read from which it is worth it. */
  readonly bytes: number
}

/** What a lane has brought to it a turn ahead. */
export interface BringLimits {
  /** Reads of a lane in a turn at most. */
  readonly reads: number
  /** Bytes of each. */
  readonly bytes: number
  /** Turns of a workgroup at least, in the mean. */
  readonly turns: number
  /** Share at least that it has of what turns read of streams. */
  readonly share: number
  /** Bytes of shared memory that a workgroup has with it at most. */
  readonly sharedBytes: number
}

/** Halves of 8 bits that an f32 is the sum of: two hold 16 of its bits, three hold all, so that its products with halves are exact. */
export type Terms = 2 | 3

export interface TileOptions {
  /** Workgroups launched at most. */
  readonly maxGroups: number
  /** Bytes of shared memory. */
  readonly sharedBytes: number
  /** Bytes of it of a kernel that multiplies on matrix units; as of any other when left out. */
  readonly atomBytes?: number
  /** Halves whose sum stands for an f32 that matrix units multiply; two when left out. */
  readonly atomTerms?: Terms
  /** Whether one of two elements that share a word may be stored; both are stored at once when left out. */
  readonly singleHalves?: boolean
  /** Whether values lie in halves only where rows have an even number of them, although one may be stored alone. */
  readonly evenRows?: boolean
}

/**
 * Which rules of `schedule/` hold: for one lane with vectors that runs a block by itself, for a workgroup that a processor runs, or for hardware
 * of many lanes that wait for memory in turn.
 */
export type MachineClass = "lane" | "software" | "simt"

export interface ScheduleTarget {
  readonly rules: MachineClass
  /** Lanes of a workgroup; 1: a block is run by one thread. */
  readonly threads: number
  /** Elements of a vector; 1: none. */
  readonly vector: number
  /** Elements of a vector along which halves (bf16, f16) are folded, where that is another number: as many as come in one load. */
  readonly halves?: number
  /** Elements that a lane accumulates at once. */
  readonly registers: number
  /** Elements of a store that a block owns when there are many. */
  readonly block: number
  /** Blocks that it takes to keep the device busy: stores with fewer elements get smaller blocks. */
  readonly busy: number
  /** Cores that blocks are dealt out to, each of which has several at once. Left out: not known. */
  readonly cores?: number
  /** Workgroups of so many threads that run at once; a kernel may have no more of them, and its blocks in turn. Left out: blocks come as they may. */
  readonly workgroups?: number
  /** Lanes that exchange values directly; folds over memory in order are shared among them. 1: none. */
  readonly subgroup: number
  /** Whether one of two elements that share a word may be stored; both are stored at once when left out. */
  readonly singleHalves?: boolean
  /** How folds in chunks are laid out; left out, none are. */
  readonly chunks?: ChunkTarget
  /** Matrix units that products may be left to; left out, to none. */
  readonly atoms?: AtomTarget
}

export interface AtomTarget {
  /** Atoms of `ir/fragments/atoms.ts`, the best first. */
  readonly names: readonly string[]
  /** What they multiply. */
  readonly storage: Half
  /** As `atomTerms` of what tile carries out. */
  readonly terms?: Terms
  /** Multiprocessors, each of which has units of its own. */
  readonly cores: number
  /** Bytes that a workgroup may hold of operands. */
  readonly sharedBytes: number
  /** Whether a copy engine brings boxes of matrices; it does not when left out. */
  readonly boxes?: boolean
  /** Rows and columns of a block, and chunks under way at most; what the rules say when left out. */
  readonly block?: readonly [rows: number, columns: number]
  readonly stages?: number
}

export interface ChunkTarget {
  /** Lanes of a workgroup at most. */
  readonly threads: number
  readonly subgroup: number
  /** Bytes that a workgroup may hold. */
  readonly sharedBytes: number
  /** Elements of a chunk of a contraction at most; as many as the rules say when left out. */
  readonly longest?: number
  /** Rows of a block of an online fold at most; as many as the rules say when left out. */
  readonly rows?: number
  /** Whether lanes may hold the channels of an online fold of few rows; they may when left out. */
  readonly overLanes?: boolean
  /** Whether operands that are halves in memory are held as such, by kernels that half-products.ts takes in f16. */
  readonly packed?: boolean
  /** Whether contractions are worth holding their operands: lanes wait for memory, and share what they hold. */
  readonly contraction: boolean
}

/** What the compiler may know of the adapter that will run the artifact. */
export interface AdapterFacts {
  /** Lanes of the smallest subgroup; 0: no subgroups. */
  readonly subgroupSize: number
  /** Bytes of a buffer that it binds; what every adapter grants when left out. */
  readonly bindingBytes?: number
  /** Bytes that a workgroup may hold; what every adapter grants when left out. */
  readonly workgroupBytes?: number
  /** Buffers that a kernel may bind; what every adapter grants when left out. */
  readonly storageBuffers?: number
  /** Whether it has arithmetic of f16; used where results need not be exact. */
  readonly f16?: boolean
  /** How it takes subgroup matrices, which were right in a test there; left out: not at all. Used where results need not be exact. */
  readonly matrices?: MatrixSpelling
  /** Of a GPU for CUDA: ten times its compute capability; the artifact may be for that one alone. Any from 80 on when left out. */
  readonly capability?: number
}
