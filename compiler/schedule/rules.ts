/**
 * The numbers that steer schedules, by class of machine. What a machine has (threads, bytes, bindings) stands in its record, in
 * `targets/machines.ts`; here stands what the rules make of it.
 *
 *   lane       one lane with vectors that runs a block by itself: WebAssembly
 *   software   a workgroup that a processor runs, vector by vector: it compiles slowly, and its lanes share the registers of one core
 *   simt       hardware of many lanes that wait for memory in turn
 *
 * Each number says its unit, why it is what it is, and the device that it was measured on. "Not measured" is said where no figure is on
 * record: such a number was chosen by its reason, or by trials of which only the outcome was kept. `weft tune` tries others around them.
 */

/** Loads of all classes come in words of 16 bytes. */
export const elementsOfLoad = 4

/** What holds for stores whose folds are taken element by element, on every machine. */
export const storeRules = {
  /**
   * Share of what a fold reads (0 to 1) that must be the same along an axis before a thread accumulates several of its places: below it the
   * loads saved are fewer than the registers taken. Not measured.
   */
  readAgain: 0.2,
  /**
   * Vectors of a folded axis that a thread accumulates at once at most: additions take about four cycles on common processors, and so many
   * accumulators hide them. Not measured.
   */
  accumulators: 4,
  /**
   * Blocks, as a multiple of the machine's own, over which what a block computes for all its points has to be spread at least, divided by
   * the number of folds that each point does beside. Not measured.
   */
  blocksPerLocal: 2,
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
   * registers. 4 rows × 2 columns came out of it for contractions of f32 on the two x86 cores that the WebAssembly device was built on; no
   * figures are on record.
   */
  loadsLeft: 0.9,
  /** Instructions that load a vector of halves, which come as words and are widened; one of f32 is one. Counted in the text, not measured. */
  loadOfHalves: 2,
  /** Elements of an operand that a block stages at most: 32 KiB of f32, the first cache of common processors. Not measured. */
  stagedElements: 8192,
  /** Elements of a block that read an operand's element, from which it is staged: fewer do not pay for the copy. Not measured. */
  readsOfStaged: 16,
} as const

/** Workgroups of several threads, in software and on hardware alike. */
export const workgroupRules = {
  /** Places along one axis that a thread accumulates at most; by the rules it is one, unless the tuner supposes more accumulators. Not measured. */
  perThread: 4,
  /** Points of a store up to which all threads of a workgroup share each of its folds: otherwise nearly all would idle. Not measured. */
  pointsOfShared: 4,
  /**
   * Blocks, as a multiple of the machine's own, of a store that computes something for all points of a block: more points for each such
   * computation, as long as there are blocks enough. Not measured.
   */
  blocksWithLocals: 6,
} as const

/** Contractions in chunks: hardware, and whatever the tuner supposes to be some. */
export const contractionRules = {
  /** Elements of the folded axis at least: a shorter one is over before staging pays. Not measured. */
  extent: 16,
  /** Rows, and columns, of the product at least: each element that is staged is read so often, at most. Not measured. */
  rows: 32,
  /** Rows of a block at most: with 64 columns in tiles of 8 × 8 they make a workgroup of 128 threads. Not measured. */
  blockRows: 128,
  /** The same of several folds side by side, which share the registers of a thread. Not measured. */
  blockRowsOfSeveral: 64,
  /** Columns of a block of a wide product. Not measured. */
  blockColumns: 128,
  /** Columns of a block of a narrow product, so that there are enough blocks. On an H200: narrow blocks came with workgroups of 256 threads. */
  blockColumnsOfNarrow: 64,
  /** Columns up to which a product is narrow. On an H200, with the products of the 0.6B model; no figures are on record. */
  narrowColumns: 2048,
  /**
   * Elements of a block below which it gets more threads of fewer rows: a block of few threads waits for memory, whatever each of them has
   * to do. On an H200; no figures are on record.
   */
  elementsOfLarge: 64 * 128,
  /** Rows, and columns, that a thread accumulates: 64 accumulators and 16 operands leave room in 255 registers. Not measured. */
  perThread: 8,
  /** Rows that a thread accumulates of small blocks, and of several folds side by side. On an H200; no figures are on record. */
  rowsPerThreadOfSmall: 4,
  /** Threads of a workgroup at least: a subgroup of hardware. */
  threads: 32,
  /** Elements of a chunk at most, of small blocks that copy their operands. On an H200; no figures are on record. */
  chunkOfCopies: 32,
  /** Elements of a chunk of large blocks, or of operands that are computed, which takes registers. Not measured. */
  chunk: 16,
  /** Elements of a chunk where a workgroup may hold little: two operands of 128 rows are 8 KiB then. Counted. */
  chunkOfLittleMemory: 8,
  /** Bytes of a workgroup below which that is so. */
  littleMemory: 32768,
  /** Elements of a chunk that one iteration takes: one load along the folded axis. */
  innerUnroll: 4,
  /** The same for sums in f16, which are added in f32: the longer they are, the fewer conversions; half-products.ts takes no more than 8. */
  innerUnrollOfHalves: 8,
  /** Elements added to a row that is written transposed, by vectors: rows stay at multiples of a vector and start at other banks. */
  padOfVectors: 4,
  /** Elements added to a row that is written element by element: one is enough to start at another bank. */
  pad: 1,
} as const

/** Online folds, by class: rows that share their keys in one block, channels of all of them, keys in chunks. */
export const onlineRules = {
  /** Rows that fold the same keys from which they are a tile of a product, rather than a few vectors. Not measured. */
  rowsOfTile: 16,
  /** Elements added to a row of staged scores and keys, so that rows start at other banks and stay at multiples of a vector. */
  pad: 4,
  lane: {
    /** Rows of a block: their scores (16 × 32 of f32) stay in the first cache. Not measured. */
    blockRows: 16,
    /** Keys of a chunk. Not measured. */
    chunk: 32,
    /** Rows, and vectors of channels, that are accumulated at once: eight accumulators of the sixteen registers. Counted. */
    rowsPerThread: 2,
    columnsPerThread: 4,
    /** Rows × keys of scores made at once: 8 products for 6 loads. On the two x86 cores of the WebAssembly device; no figures are on record. */
    scoreRows: 4,
    scoreKeys: 2,
  },
  workgroup: {
    /** Rows of a block where a workgroup may hold much, */
    blockRowsOfMuchMemory: 128,
    /** which is from so many bytes: scores of 128 rows × 32 keys, a tile of keys and the running maxima. Counted. */
    muchMemory: 40960,
    /** and elsewhere. */
    blockRows: 32,
    /** Keys of a chunk with a tile of rows. Not measured. */
    chunkOfTile: 32,
    /** Keys of a chunk with few rows, which read each key once: longer chunks have fewer barriers. Not measured. */
    chunk: 64,
    /** Threads of a workgroup at least: a subgroup of hardware. */
    threads: 32,
  },
  software: {
    /** Rows and channels that are accumulated at once: adapters compile every statement for seconds (a minute became seconds with 1). On lavapipe. */
    perThread: 1,
  },
  simt: {
    /** Rows that a thread accumulates. Not measured. */
    rowsPerThread: 8,
    /** Vectors of channels that a thread accumulates with a tile of rows. Not measured. */
    columnsPerThread: 2,
    /** Keys of a chunk, or elements of a score, that one iteration takes: one load. */
    innerUnroll: 4,
    /** Rows of scores, and keys, that a thread makes at once with a tile of rows at most: 16 products for 8 loads. Counted. */
    scoreRows: 4,
    scoreKeys: 4,
    /** Threads that share the sum of one score where rows are few: 8 × 16 bytes is a line of 128 bytes. Counted. */
    scoreGroup: 8,
  },
} as const

/** What `weft tune` tries around a schedule. */
export const tuneRules = {
  /** Schedules of one kernel at most, and those put to `tile` at most: at a tenth of a second each, a large model is tuned in about an hour. */
  schedules: 120,
  tries: 360,
  /** Factors of the machine's accumulators and blocks under which the rules are asked again. */
  factors: [4, 2, 0.5, 0.25],
  /** Factors of the bytes of a workgroup, likewise. */
  memory: [0.5, 0.25],
  /** Blocks that a device is supposed to need, where it is said to need one. */
  busy: 64,
  /** Places per thread, accumulators, and elements of an iteration. */
  powers: [1, 2, 4, 8],
  /** Accumulators of folds that the rules leave as they are. */
  accumulators: [2, 4],
  /** Elements that all accumulators of one fold have at most: half of 64 registers. Counted. */
  accumulated: 32,
  /**
   * Elements that a thread accumulates at most: more never stay in registers, and make kernels that take seconds to compile. On lavapipe.
   */
  elementsPerThread: 128,
  /** Threads of a workgroup that every WebGPU implementation grants. */
  threads: 256,
  /** Threads that share a fold at least, where any do: fewer save no levels that vectors do not. Not measured. */
  group: 4,
  /** Elements added to a staged row: none, another bank, another bank at multiples of a vector. */
  pads: [0, 1, 4],
  /** Places of a staged operand that a thread fills at once. */
  fills: [1, 2, 4],
} as const

/** Elements of a chunk at most, one after the other, where the chunk of the rules does not fit: 4 is one load. */
export const shorterChunks: readonly number[] = [16, 8, 4]
