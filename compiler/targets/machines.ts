/**
 * The machines of the targets: what schedules may assume of each, and what one kernel may use there.
 *
 *   wasm                        lane       one lane, vectors of 128 bits
 *   WebGPU, nothing known       software   what every adapter grants: 16 KiB, 8 bindings, no subgroups
 *   WebGPU, subgroups below 16  software   an adapter that a processor runs, such as lavapipe
 *   WebGPU, wide subgroups      simt       hardware, such as an H200
 *   CUDA                        simt       the same, from sm_80 on
 *
 * Each number says its unit, its reason, and the device that it was measured on, as those of `schedule/rules.ts` do.
 */

import { type Atom, atoms } from "../ir/fragments/atoms.js"
import type {
  AdapterFacts,
  AskLimits,
  AtomTarget,
  BringLimits,
  GatherLimits,
  Machine,
  ScheduleTarget,
} from "../ir/machine.js"
import { isMatrixAtom } from "./wgsl/matrices.js"

/** Tokens of a step. One thread gains nothing by more of them, and what a step keeps grows with them. Not measured. */
const boundsOfAny = [128]

export const wasmMachine: Machine = {
  schedule: {
    rules: "lane",
    threads: 1,
    // Elements of f32 in 128 bits; halves of one load of 128 bits.
    vector: 4,
    halves: 8,
    // Vectors, of the sixteen that x86 has: the rest hold what is loaded. Not measured against others.
    registers: 8,
    // Points. Longer blocks repeat less of what a block computes for all of them. Chosen for WebAssembly by trials; no figures are on record.
    block: 128,
    // Blocks. A block is as good as many, to one lane.
    busy: 1,
    subgroup: 1,
    // i32.store16.
    singleHalves: true,
    // Bytes. Chunks and their scores stay in the first two caches. Not measured.
    chunks: { threads: 1, subgroup: 1, sharedBytes: 1 << 16, contraction: false },
  },
  // Groups and bytes: no limits of WebAssembly, but more than any kernel of a model has asked for.
  tile: { maxGroups: 65536, sharedBytes: 1 << 20, singleHalves: true, evenRows: true },
  bounds: boundsOfAny,
  choices: {},
  // A half that stands alone takes ten instructions to widen, as many as the products of a block.
  scales: "wide",
  // i32x4.dot_i16x8_s: eight products and four sums in one instruction.
  integers: true,
  // Rows. Four share what they load of a weight, as many as a register tile has. On WebAssembly by trials; no figures are on record.
  gather: { rows: 4, block: 4 },
  // Memories of one kernel, and the bytes of all memory that 32 bits address.
  bindings: 32,
  bindingBytes: 2 ** 32,
}

/** What holds of all WebGPU adapters; threads, points and blocks are those of software. */
const schedule: ScheduleTarget = {
  rules: "software",
  // Threads. A processor runs them one vector after the other: more wait for each other at barriers. Not measured.
  threads: 32,
  // Elements of 16 bytes, which WGSL loads at once.
  vector: 4,
  // Accumulators. Others hide what a thread of hardware waits for; software adapters compile large bodies slowly.
  registers: 1,
  // Points. Few long blocks run better in software than many short ones. Trials on a software adapter; no figures are on record.
  block: 64,
  // Blocks. The threads of a processor are few, and each block is long.
  busy: 1,
  subgroup: 1,
}

/** The limits that every WebGPU implementation grants. */
export const anyAdapter: Machine = {
  schedule,
  choices: {},
  // Workgroups: far below the 65,535 of the standard, for each takes several blocks in turn then. Bytes: the standard's.
  tile: { maxGroups: 4096, sharedBytes: 16384 },
  bounds: boundsOfAny,
  // Bindings and bytes: the standard's.
  bindings: 8,
  bindingBytes: 2 ** 27,
}

/** Lanes of the smallest subgroup from which an adapter is hardware: those of software have 4 or 8, as many as a vector of the processor. */
const lanesOfHardware = 16

/** Lanes that share a fold at most: of wider subgroups a part, so that schedules are the same for all hardware. */
const widestSubgroup = 32

/** What hardware has in place of software's; chosen by trials of which no figures are on record. */
const hardware = {
  schedule: {
    rules: "simt",
    // Elements of halves in one load of 16 bytes.
    halves: 8,
    // Threads: 8 subgroups wait in turn. By trials; no figures are on record.
    threads: 256,
    // Points: many short blocks fill the device. By trials; no figures are on record.
    block: 16,
    // Blocks: about four for each of the 132 multiprocessors of an H200. Counted.
    busy: 512,
    // Multiprocessors of an H100 or H200: other GPUs have 46 to 188.
    cores: 132,
    // Workgroups: four of 256 threads for each of the 132 multiprocessors of an H200, with 64 registers a thread. Counted.
    workgroups: 528,
  },
  // Tokens of a step: 128 leave most of 132 multiprocessors without a block of rows. 8B reads 512 tokens at 757 tok/s by 128 and at 1,510 by 512 on an H200.
  bounds: [512],
  // Bits: a token is added to one of 256 bins in each of four rounds. By hand in CUDA on an H100 23 to 26 µs for 151,936 tokens, with 11 bits 26 to 31.
  choices: { digitBits: 8 },
  // Blocks, parts and elements. Two blocks for each multiprocessor do not need to be split further; a part of 64 elements is one turn of 16 groups
  // of lanes with 4 elements each. Not measured.
  split: { busy: 256, parts: 64, least: 64 },
} as const

/** The machine behind an adapter; with `f16` operands that are halves are staged as such. */
export function machineOf(adapter: AdapterFacts | undefined, f16: boolean): Machine {
  const lanes = adapter?.subgroupSize || 1
  const isHardware = lanes >= lanesOfHardware
  const sharedBytes = adapter?.workgroupBytes ?? anyAdapter.tile.sharedBytes
  const subgroup = Math.min(lanes, widestSubgroup)
  const own = { ...schedule, ...(isHardware ? hardware.schedule : {}), subgroup }
  const chunks = { threads: own.threads, subgroup, sharedBytes, contraction: isHardware, packed: f16 }
  return {
    schedule: { ...own, chunks },
    tile: { ...anyAdapter.tile, sharedBytes },
    bounds: isHardware ? hardware.bounds : boundsOfAny,
    bindings: adapter?.storageBuffers ?? anyAdapter.bindings,
    bindingBytes: adapter?.bindingBytes ?? anyAdapter.bindingBytes,
    choices: isHardware ? hardware.choices : anyAdapter.choices,
    ...(isHardware ? { split: hardware.split } : {}),
    ...(f16 ? { narrow: true } : {}),
  }
}

/** The machine with subgroup matrices: those of f16, with sums in f32. */
export function withMatrices(machine: Machine): Machine {
  const names = [...atoms.keys()].filter(isMatrixAtom)
  const { sharedBytes } = machine.tile
  const target: AtomTarget = { names, storage: "f16", cores: hardware.schedule.cores, sharedBytes }
  return { ...machine, schedule: { ...machine.schedule, atoms: target } }
}

/** Of the GPU that blocks are counted for. */
export const cudaMultiprocessors = hardware.schedule.cores

/** Bytes of shared memory that a block may have: the least of all GPUs from sm_80 on, which sm_86 and sm_120 have. */
const sharedOfAny = 99 * 1024

/** Bytes of it that a block takes where it may choose: two blocks share a multiprocessor's of sm_86, four that of an H200. Not measured. */
const sharedOfBlock = 48 * 1024

/** What hardware is to WebGPU, and what CUDA has beside it. */
export const cudaMachine: Machine = {
  schedule: {
    ...schedule,
    ...hardware.schedule,
    subgroup: widestSubgroup,
    singleHalves: true,
    chunks: {
      threads: hardware.schedule.threads,
      subgroup: widestSubgroup,
      sharedBytes: sharedOfBlock,
      contraction: true,
      packed: false,
    },
  },
  // Workgroups: as on WebGPU, for each takes several blocks in turn then.
  tile: { ...anyAdapter.tile, sharedBytes: sharedOfAny, singleHalves: true },
  bounds: hardware.bounds,
  choices: hardware.choices,
  split: hardware.split,
  // Pointers: fewer than parameters have room for.
  bindings: 128,
  // Bytes: as many halves as an i32 numbers.
  bindingBytes: 2 ** 32 - 4,
}

/** Bytes of shared memory that a block of sm_90 may have. */
const sharedOfHopper = 227 * 1024

/** The least compute capability, times ten, of what runs the artifacts. */
const leastCapability = 80

/** The compute capability, times ten, from which there is a copy engine. */
const boxesFrom = 90

/** Matrix units for results that need not be exact, of the GPU that an artifact is for, or of all. */
export function cudaAtoms(capability = leastCapability): AtomTarget {
  const has = ({ arch, only }: Atom) => arch === capability || (arch < capability && only !== true)
  const names = [...atoms.values()].filter((a) => a.a.storage === "bf16" && has(a)).map((a) => a.name)
  // A kilobyte is left for what a block holds beside.
  const sharedBytes = (capability === 90 ? sharedOfHopper : sharedOfAny) - 1024
  return { names, storage: "bf16", cores: cudaMultiprocessors, sharedBytes, boxes: capability >= boxesFrom }
}

/**
 * Tokens of a step where matrix units multiply. Up to 16 they are the narrow side of an atom, and as many as one another's price; of more, blocks are
 * chosen for as many as there may be: on an H200 models of 0.6B, 8B and 30B weights (8 layers) read 4,096 tokens at 113,465, 26,155 and 81,682 tok/s by 512,
 * and at 185,282, 29,416 and 131,270 by 2,048, but 512 by blocks for 2,048 at 0.84 of the speed (0.6B).
 */
export const boundsOfAtoms = [16, 512, 2048]

/**
 * Rows that choose their operand, for each value of the index, from which they are grouped for matrix units, and places of a block: 4 of the 64 tokens
 * that sizes are supposed to be are 32 of the 512 of a prompt's step, which fill a block of two fragments. Not measured.
 */
export const gatherOfAtoms: GatherLimits = { rows: 4, block: 32 }

/**
 * Reads of a lane that ask for what they read while the kernel waits for earlier ones, and their bytes. Measured on an H200: a model of 0.6B
 * weights made 1,279 tokens a second with 8, as with none, 1,302 with 4 and 1,227 with 16; 1,434 with 2 when blocks had become smaller.
 */
export const cudaAhead: AskLimits = { reads: 2, bytes: 16 }

/**
 * What a lane of products has brought to it a turn ahead. Measured on an H200: a model of 8B in 8-bit floats, of which a lane reads eight times 16 bytes in a
 * turn, makes 335 tokens a second with what makes 361 without; in 4 bits, four times, 522 where it made 476. One of 30B (8 layers) of which workgroups have
 * one or two turns made 2,240 where it makes 2,274; in 5 bits, of which four are brought, one of 8B made 362 where it makes 369, in 6 bits 354 and 352.
 */
export const cudaBrings: Omit<BringLimits, "sharedBytes"> = { reads: 4, bytes: 16, turns: 2.5, share: 0.9 }
