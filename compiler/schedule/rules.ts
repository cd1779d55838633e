/**
 * The numbers that steer schedules, by class of machine. What a machine has (threads, bytes, bindings) stands in its record, in
 * `targets/machines.ts`; here stands what the rules make of it.
 *
 *   lane       one lane with vectors that runs a block by itself: WebAssembly
 *   software   a workgroup that a processor runs, vector by vector: it compiles slowly, and its lanes share the registers of one core
 *   simt       hardware of many lanes that wait for memory in turn
 *
 * Each number says its unit, why it is what it is, and the device that it was measured on. "Counted" is what follows from registers and bytes;
 * "no figures are on record" what was tried and of which the outcome alone was kept; "not measured" the rest. `weft tune` tries others around them.
 */

import type { scheduleFields } from "../ir/schedule.js"

/** Elements of f32 in one load: loads of all classes come in words of 16 bytes. Counted. */
export const elementsOfLoad = 4

/** What holds for stores whose folds are taken element by element, on every machine. */
export const storeRules = {
  /**
   * Share of what a fold reads (0 to 1) that must be the same along an axis before a thread accumulates several of its places: below it the
   * loads saved are fewer than the registers taken. Not measured.
   */
  readAgain: 0.2,
  /**
   * Vectors of a folded axis that a thread accumulates at once at most: an addition waits for the one before into the same accumulator, about
   * four cycles on common processors. Not measured.
   */
  accumulators: 4,
  /**
   * Blocks, as a multiple of the machine's own, over which what a block computes for all its points has to be spread at least, divided by
   * the number of folds that each point does beside. Not measured.
   */
  blocksPerLocal: 2,
  /**
   * Elements from which a store that reads them goes along with a later one that reads them, too: 64 MiB of f32, which no cache holds; below, blocks of
   * both side by side hide more of what each waits for. Not measured.
   */
  readTwice: 1 << 24,
} as const

/** One lane with vectors. */
export const laneRules = {
  /**
   * Blocks, as a multiple of the machine's own, that a store of many points may have: rows that a block makes for itself serve more points,
   * and nobody shares them with it. Not measured.
   */
  blocks: 8,
  /** Blocks of a store at least before they grow: other threads want some, too. Not measured. */
  blocksForThreads: 64,
  /**
   * Share of the loads of one product (0 to 1) that doubling the registers along an axis may leave: a tenth saved pays for the moves between
   * registers. Of eight accumulators it makes 4 rows × 2 columns. Chosen for WebAssembly; no figures are on record.
   */
  loadsLeft: 0.9,
  /** Instructions that load a vector of halves, which come as words and are widened; one of f32 is one. Counted in the text, not measured. */
  loadOfHalves: 2,
  /** Elements of an operand that a block stages at most: 32 KiB of f32, the first cache of common processors. Not measured. */
  stagedElements: 8192,
  /** Elements of a block that read an operand's element, from which it is staged: fewer do not pay for the copy. Not measured. */
  readsOfStaged: 16,
  /**
   * Columns of a product of words by one row that are made side by side where rows of words are short. Measured on an x86 processor (Zen 4) with V8 11.3:
   * 4,096 columns of 256 bytes took 60 µs by one, 53 by two, 47 by four.
   */
  columnsOfWords: 4,
  /**
   * Bytes of such a row: longer ones are streams of their own, which hardware reads ahead one at a time. Measured on the same: of rows of 512 and 1,024
   * bytes, matrices of 8 and 17 MB, two columns side by side took 1.5 and 1.6 times as long as one after the other.
   */
  bytesOfShortRow: 256,
  /**
   * Products of words, of two codes each, of a sum that is made as a lane of a vector. Measured on the same with rows of Q8_0: of 128, rows in buckets
   * took 107 µs a token with what is made of the sums, in place of 124; of 512 the kernels of a prompt took 1.00 to 1.06 times as long.
   */
  wordsOfShortSum: 128,
} as const

/** Workgroups of several threads, in software and on hardware alike. */
export const workgroupRules = {
  /**
   * Share of the blocks that keep hardware busy, below which lanes without a point share the folds of others: three blocks for each multiprocessor
   * of an H200. Measured on one by CUDA: a step of 0.6 billion weights took 0.77 ms with 1/4, 0.70 with 3/4 and with 1, of this and the next one.
   */
  busyWithFew: 3 / 4,
  /**
   * The same where blocks repeat what they make for their points, and the share of blocks that is enough there: one for each multiprocessor of an
   * H200. Counted.
   */
  busyWithLocals: 1 / 4,
  /** Places along one axis that a thread accumulates at most; by the rules it is one, unless the tuner supposes more accumulators. Not measured. */
  perThread: 4,
  /** Points of a store up to which all threads of a workgroup share each of its folds: otherwise nearly all would idle. Not measured. */
  pointsOfShared: 4,
  /** Lanes at least that share a fold where all others of a subgroup would be idle: a tree of three exchanges. Counted. */
  fewLanes: 8,
  /** Elements of a local that a block of hardware makes without further ado: a subgroup has one each. Not measured. */
  fewElements: 32,
  /**
   * Elements of a fold, on hardware, up to which the folds inside of all of them are taken in one pass: as many loads of 16 bytes under way at
   * once leave room in 255 registers. Not measured.
   */
  foldsSideBySide: 8,
  /** Places of a store that lanes make at once of a fold that they share: so many results are registers, or a list. Not measured. */
  placesOfFold: 16,
  /**
   * Blocks that each of the workgroups of a device takes in turn at least, after it has made once what all blocks need; fewer of them are made larger
   * instead. With two no core has more than half a block more than the mean. Not measured.
   */
  turns: 2,
  /** Blocks for each core at least that make the same each, so that one waits for memory while another makes it. Not measured. */
  blocksOfCore: 4 / 3,
  /** Points of a block that take a core as long as making what the block needs for all of them: a pass over a row, a tree, a barrier. Not measured. */
  pointsOfRepeat: 8,
  /**
   * Blocks, as a multiple of the machine's own, of a store that computes something for all points of a block: more points for each such
   * computation, as long as there are blocks enough. Not measured.
   */
  blocksWithLocals: 6,
} as const

/** Sums on hardware whose elements count at one place of an axis each. */
export const binRules = {
  /** Places of the axis from which lanes add elements to them: of fewer comparisons cost no more than lanes that wait for one another. Not measured. */
  least: 64,
  /** Places at most: three arrays of so many words leave a workgroup memory for what it makes besides. Counted. */
  most: 2048,
  /** Vectors of a lane under way at once: as many loads of 16 bytes leave room in 255 registers. Counted. */
  turns: 8,
} as const

/** Folds that lanes of hardware share and that read memory once. */
export const streamRules = {
  /** Bytes that a lane loads at once at most. Counted: a word of all memories. */
  bytesOfLoad: 16,
  /**
   * Bytes that are to be under way for each of the blocks that keep the device busy: four of them are 40 KiB of a core, where 4.55 TB/s times
   * 700 ns of latency over 132 cores are 24. Counted for an H200 from its measured bandwidth.
   */
  bytesOfBlock: 10240,
  /** Loads of one lane under way at most: so many words leave room in 255 registers. Counted. */
  loads: 16,
  /** Elements that a lane has under way of a fold that takes single ones: each has a text of its own. Not measured. */
  selective: [4, 2],
} as const

/** Online folds, by class: rows that share their keys in one block, channels of all of them, keys in chunks. */
export const onlineRules = {
  /** Rows that fold the same keys from which they are a tile of a product, rather than a few vectors. Not measured. */
  rowsOfTile: 16,
  /** Elements added to a row of staged scores and keys, so that rows start at other banks and stay at multiples of a vector. Counted. */
  pad: 4,
  lane: {
    /** Rows of a block: their scores (16 × 32 of f32, 2 KiB) stay in the first cache. Not measured. */
    blockRows: 16,
    /** Keys of a chunk: scores and values of so many stay in the first cache. Not measured. */
    chunk: 32,
    /** Rows that are accumulated at once: with 4 vectors of channels eight accumulators, of sixteen registers. Counted. */
    rowsPerThread: 2,
    /** Vectors of channels that are accumulated at once. Counted, as the rows are. */
    columnsPerThread: 4,
    /** Rows of scores made at once: with 2 keys 8 products for 6 loads. Chosen for WebAssembly; no figures are on record. */
    scoreRows: 4,
    /** Keys of scores made at once. Chosen for WebAssembly along with the rows; no figures are on record. */
    scoreKeys: 2,
  },
  workgroup: {
    /** Rows of a block where a workgroup may hold much: they share what is read of keys. Counted, see below. */
    blockRowsOfMuchMemory: 128,
    /** Bytes of a workgroup from which that is so: scores of 128 rows × 32 keys, a tile of keys and the running maxima. Counted. */
    muchMemory: 40960,
    /** Rows of a block elsewhere: a quarter of the bytes. Counted. */
    blockRows: 32,
    /** Keys of a chunk with a tile of rows. Not measured. */
    chunkOfTile: 32,
    /** Keys of a chunk with few rows, which read each key once: longer chunks have fewer barriers. Not measured. */
    chunk: 64,
    /** Threads of a workgroup at least: a subgroup of hardware. Counted. */
    threads: 32,
  },
  software: {
    /** Rows and channels that are accumulated at once: adapters compile every statement for seconds. Not measured. */
    perThread: 1,
  },
  simt: {
    /** Rows that a thread accumulates. Not measured. */
    rowsPerThread: 8,
    /** Vectors of channels that a thread accumulates with a tile of rows. Not measured. */
    columnsPerThread: 2,
    /** Keys of a chunk, or elements of a score, that one iteration takes: one load. Counted. */
    innerUnroll: 4,
    /** Rows of scores that a thread makes at once with a tile of rows at most: with 4 keys 16 products for 8 loads. Counted. */
    scoreRows: 4,
    /** Keys of scores that a thread makes at once at most. Counted, as the rows are. */
    scoreKeys: 4,
    /** Threads that share the sum of one score where rows are few: 8 × 16 bytes is a line of 128 bytes. Counted. */
    scoreGroup: 8,
  },
  /** Few rows on hardware, of which lanes hold the channels. */
  lanes: {
    /** Rows that fold the same keys up to which they are few: four blocks of the rows that lanes hold of 128 channels. Not measured. */
    rows: 32,
    /**
     * Channels of a row that a lane holds at least: what all lanes of a group do alike for a score (a weight, a step of its tree) is spread over
     * so many products. 8 of 128 channels, by hand in CUDA, measured on an H100: 84 % of the rate at which it reads.
     */
    channels: 8,
    /**
     * Accumulators of a lane at most: as many registers hold the factors of the scores, as many again what a run adds up, and two blocks of 256
     * lanes share the registers of a multiprocessor. Counted: with 64 they spilled.
     */
    accumulators: 32,
    /** Elements of the folded axis that a group takes at once at most: 8 loads of 16 bytes under way. By hand in CUDA, measured on an H100. */
    elements: 4,
    /**
     * Rows times elements that a group takes at once at most. Measured on an H200: with 8 two blocks share a multiprocessor, and a step of 30B-A3B cut
     * to 8 layers after 8,192 tokens is 6.5 % faster than with 16, after 1,024 3.3 %.
     */
    scores: 8,
  },
} as const

/** What `weft tune` tries around a schedule. */
export const tuneRules = {
  /** Schedules of one kernel at most. Not measured. */
  schedules: 120,
  /** Schedules that are put to `tile` at most, those that it refuses included. Not measured. */
  tries: 360,
  /** Schedules of one kernel that leaves products to matrix units at most: compiling one takes seconds. Counted. */
  schedulesOfAtoms: 40,
  /** Rows and columns of blocks for matrix units. Not measured. */
  blocksOfAtoms: [
    [128, 256],
    [256, 128],
    [128, 128],
    [128, 64],
    [64, 128],
    [64, 64],
    [32, 128],
  ],
  /** Chunks under way at most, of blocks for matrix units. Not measured. */
  stagesOfAtoms: [6, 4, 3],
  /** Factors of the machine's accumulators and blocks under which the rules are asked again. Not measured: neighbouring powers of two. */
  factors: [4, 2, 0.5, 0.25],
  /** Factors of the bytes of a workgroup, likewise: smaller blocks leave room for a second workgroup. Not measured. */
  memory: [0.5, 0.25],
  /** Blocks that a device is supposed to need, where its record says one. Not measured. */
  busy: 64,
  /** Places per thread, accumulators, and elements of an iteration: the powers of two that registers have room for. Counted. */
  powers: [1, 2, 4, 8],
  /** Accumulators of folds that the rules leave as they are. Not measured. */
  accumulators: [2, 4],
  /** Elements that all accumulators of one fold have at most: eight vectors. Not measured. */
  accumulated: 32,
  /**
   * Elements that a thread accumulates at most: more never stay in registers, and make kernels that take seconds to compile in software. No
   * figures are on record.
   */
  elementsPerThread: 128,
  /** Threads of a workgroup that every WebGPU implementation grants: the standard's, not measured. */
  threads: 256,
  /** Threads that share a fold at least, where any do: two exchange as much as they save. Not measured. */
  group: 4,
  /** Places of a staged operand that a thread fills at once. Not measured. */
  fills: [1, 2, 4],
} as const

/** Values that `weft tune` tries whatever else is said, on machines of several threads, by what the fields are said of. Not measured. */
export const triedValues: {
  readonly [P in keyof typeof scheduleFields]?: {
    readonly [F in keyof (typeof scheduleFields)[P]]?: readonly unknown[]
  }
} = {
  staged: {
    /** None, another bank, another bank at multiples of a vector. Counted. */
    pad: [0, 1, 4],
  },
}

/** Elements of a chunk at most, tried one after the other where the chunk of the rules does not fit: 4 is one load. Counted. */
export const shorterChunks: readonly number[] = [16, 8, 4]
