/**
 * The numbers that steer schedules of products, in chunks and by matrix units. Each says what those of `../rules.ts` do.
 *
 *   contractionRules   rows and columns that lanes accumulate, operands staged in chunks
 *   atomRules          what matrix units take: products of many rows and of few, and online folds
 */

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
  /** Columns of a block of a narrow product, so that there are enough blocks. Not measured. */
  blockColumnsOfNarrow: 64,
  /** Columns up to which a product is narrow. Not measured. */
  narrowColumns: 2048,
  /**
   * Elements of a block below which it gets more threads of fewer rows: a block of few threads waits for memory, whatever each of them has
   * to do. No figures are on record.
   */
  elementsOfLarge: 64 * 128,
  /** Rows, and columns, that a thread accumulates: 64 accumulators and 16 operands leave room in 255 registers. Not measured. */
  perThread: 8,
  /** Rows that a thread accumulates of small blocks, and of several folds side by side. No figures are on record. */
  rowsPerThreadOfSmall: 4,
  /** Threads of a workgroup at least: a subgroup of hardware. Counted. */
  threads: 32,
  /** Elements of a chunk at most, of small blocks that copy their operands: little else is in memory. No figures are on record. */
  chunkOfCopies: 32,
  /** Elements of a chunk of large blocks, or of operands that are computed, which takes registers. Not measured. */
  chunk: 16,
  /** Elements of a chunk where a workgroup may hold little: two operands of 128 rows are 8 KiB then. Counted. */
  chunkOfLittleMemory: 8,
  /** Bytes of a workgroup below which that is so. Not measured. */
  littleMemory: 32768,
  /** Elements of a chunk that one iteration takes: one load along the folded axis. Counted. */
  innerUnroll: 4,
  /** The same for sums in f16, which are added in f32: the longer they are, the fewer conversions; half-products.ts takes no more than 8. Counted. */
  innerUnrollOfHalves: 8,
  /** Elements added to a row that is written transposed, by vectors: rows stay at multiples of a vector and start at other banks. Counted. */
  padOfVectors: 4,
  /** Elements added to a row that is written element by element: one is enough to start at another bank. Counted. */
  pad: 1,
} as const

/**
 * Products that matrix units take. Measured on an H200, as emitted: at 4,096 rows asynchronous atoms made 458 to 573 TFLOP/s and those of 32 lanes 320 to
 * 371, at 512 rows 462 to 469 and 313 to 331.
 */
export const atomRules = {
  /** Elements of the fold from which units are worth it: those of one fragment. Counted. */
  elements: 16,
  /** Blocks for each multiprocessor below which there are too few. Not measured. */
  waves: 0.8,
  /** Sums of a lane at most: as many registers again hold operands and addresses. Counted. */
  sums: 128,
  /** Atoms of 32 lanes. */
  warps: {
    /**
     * Rows and columns of a block, those of all folds of a store together: the first of which there are enough. Of 128 × 128 each element that is copied
     * is multiplied 128 times, by hand in CUDA measured on an H100; the smaller ones are not measured.
     */
    blocks: [
      [128, 128],
      [128, 64],
      [64, 64],
    ],
    /** Elements of a chunk: a row of 128 bytes, which one swizzle permutes. Counted. */
    chunk: 64,
    /** Chunks under way at most. Not measured; by hand in CUDA 3 in two blocks were better than 4 in one. */
    stages: 4,
    /** Groups of lanes of a block at least: a multiprocessor has four units. Counted. */
    groups: 4,
    /** Groups of lanes of a block at most: registers of 8 groups with 128 sums each are all there are. Counted. */
    mostGroups: 8,
  },
  /** Few rows, which wait for what they are multiplied with: those are the rows of the atom, and stream through many small blocks. */
  few: {
    /** Rows, or columns, from which units are worth it: one is a fold like others. Counted. */
    least: 2,
    /** Rows, or columns, up to which they are few: two fragments of columns. Counted. */
    most: 16,
    /** Those of the other side at least: a multiprocessor's share of few blocks. Not measured. */
    others: 64,
    /** Rows and columns of a block, as of warps; of two folds with all of the few each. Not measured. */
    blocks: [
      [64, 32],
      [32, 32],
      [16, 32],
    ],
    /** Elements of a chunk: 16 rows of it are 4 KiB under way. Not measured. */
    chunk: 128,
    /** Chunks under way at most: 20 KiB of 16 rows, 80 KiB of 64. Not measured. */
    stages: 6,
    /** Groups of lanes of a block: one for each fragment of rows. Counted. */
    groups: 4,
    /** Those at most, likewise. Counted. */
    mostGroups: 4,
  },
  /** Few rows, or one, times weights that are decoded: those go straight into fragments. */
  direct: {
    /** Rows up to which they are few: from so many on decoded weights are kept in memory. Counted. */
    columns: 32,
    /** Weights for each element of the fold from which they are many: four fragments of rows. Not measured. */
    rows: 64,
    /** Elements of the last folded axis at least: one step of four lanes. Counted. */
    elements: 32,
    /** Fragments of rows of a block, the most first. Not measured. */
    tall: [4, 2],
    /** Lines of the few rows for each of those: what is read of them, in 16 bits, is about as much as what is read of weights in 4. Counted. */
    linesOfFragment: 4,
    /** Share of multiprocessors that have a block at least. Not measured. */
    busy: 0.9,
    /** Bytes that a block has of the few rows at once: two blocks share a multiprocessor of 227 KB. Counted. */
    bytesOfRows: 90 << 10,
    /** Groups of lanes of a block: two blocks share a multiprocessor. Not measured. */
    groups: 8,
    /** Neighbours of a lane, the most that fit first. Counted. */
    stretches: [32, 16, 8],
    /** Bytes that a lane reads at once at most: one load. Counted. */
    bytesOfLoad: 16,
    /**
     * Steps under way, of all folds together, the most first: of 16 bytes for each of two rows they take 32 registers. Measured on an H200: 4,096 rows of
     * 4,096 weights in 4 bits took 5.0 µs with 4, which are all, 5.7 with 2, 6.5 with 1.
     */
    steps: [4, 3, 2],
    /**
     * Elements of a lane's row under way where there are more, or blocks come in turn; of 4 bits and 32 a step. Measured on an H200: 151,936 rows took 149 µs with 4, 138 with 2, 180 with 1; two folds of
     * 12,288 rows 24 µs with 4 of each, 26 with 2, 23 with 1.
     */
    elementsInTurn: 64,
    /**
     * Blocks of a multiprocessor, beyond which workgroups take them in turn. Measured on an H200: two folds of 12,288 rows took 27 µs by blocks of their
     * own, 24 in turn by 2 workgroups, 29 by 3, 25 by 4; 151,936 rows 169, and 138 by 2 and by 4.
     */
    blocks: 2,
  },
  /** Asynchronous atoms of 128 lanes, whose operands are multiplied from where they are staged. */
  groups: {
    /**
     * Rows and columns of a block: of these the ones that are over first. Measured on an H200, as emitted: at 4,096 rows 256 × 128 made 669 to 708 TFLOP/s, 128 × 256
     * made 602 to 620, 128 × 128 made 636 to 647, and before one chunk more was under way 64 × 256 made 342 to 448.
     */
    blocks: [
      [256, 128],
      [128, 256],
      [128, 128],
      [128, 64],
      [64, 64],
    ],
    /** The same of several folds side by side, the columns of all together: an atom has at least 128 columns of each. Not measured beside others. */
    blocksOfSeveral: [
      [128, 256],
      [128, 128],
      [128, 64],
      [64, 64],
    ],
    /**
     * Elements of a block that are multiplied in the time that one of its rows, or columns, is brought. Measured on an H200: 49.2 µs for a block of 256 × 128 of
     * depth 4,096 on each multiprocessor and 26.8 for 128 × 128; of depth 12,288 145.5 and 79.6.
     */
    brought: 32,
    /** Elements of a chunk, as of warps. Counted. */
    chunk: 64,
    /** Chunks under way at most. By hand in CUDA 6 of 128 × 128, measured on an H100. */
    stages: 6,
    /** Groups of lanes of a block at least, where it has so many rows: one waits while the other multiplies. Not measured. */
    groups: 2,
    /** Groups of lanes of a block at most: 128 sums of each lane and its operands take all registers. Counted. */
    mostGroups: 2,
  },
  /** Atoms of which only the hardware knows what lanes hold: subgroup matrices of WebGPU. */
  matrices: {
    /** As of warps. Measured on an H200, through Dawn: 128 × 128 made 141 TFLOP/s of 4096³ without its checks and 71 with them, others 53 to 97 and 32 to 58. */
    blocks: [
      [128, 128],
      [128, 64],
      [64, 64],
    ],
    /** Elements of a chunk. Measured on an H200, through Dawn: those of 64 were slower. */
    chunk: 32,
    /** Chunks under way at most: no copies are asynchronous. Measured on an H200, through Dawn: two and three were slower. */
    stages: 1,
    /** As of warps. Counted. */
    groups: 4,
    /** As of warps. Measured on an H200, through Dawn: 2 × 2 were faster than 2 × 4 and 4 × 2. */
    mostGroups: 4,
  },
  /** Online folds. */
  online: {
    /** Rows, and columns, from which units are worth it: those of one fragment. Counted. */
    least: 16,
    /** Columns at most: a lane has those of its rows in registers. Counted. */
    columns: 256,
    /** Registers of a lane for results and scores at most: weights, operands and addresses take the others. Counted. */
    sums: 160,
    /** Chunks under way at least: the next one comes while one is multiplied. Counted. */
    stages: 2,
    warps: {
      /** Elements of a chunk. Not measured. */
      chunk: 64,
      /** Chunks under way at most. Not measured. */
      stages: 2,
      /** Groups of lanes of a block, the first of which there are enough blocks. Not measured. */
      groups: [8, 4],
    },
    groups: {
      /** As of warps. Measured on an H100, by hand in CUDA: 128 elements made 505 TFLOP/s, 64 made 393 to 474. */
      chunk: 128,
      /**
       * As of warps, where memory holds them. Measured on an H200, when all lanes copied chunks and met for each: 3 made 399 and 431 TFLOP/s of 4,096 and
       * 16,384 rows, 2 made 362 and 416.
       */
      stages: 3,
      /** As of warps. Not measured. */
      groups: [2, 1],
    },
  },
} as const
