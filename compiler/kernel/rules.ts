/**
 * The numbers that steer what becomes a kernel. Each says its unit, why it is what it is, and the device that it was measured on, as those of
 * `schedule/rules.ts` do. They are the same for all machines; a machine's own limits stand in its record.
 */

import type { Operation } from "../ir/operations.js"

/** Operations that an operation is worth, of others one: about its instructions on hardware. Not measured. */
export const operationCosts: Partial<Record<Operation, number>> = {
  exp: 12,
  exp2: 12,
  log: 12,
  sin: 20,
  cos: 20,
  tanh: 16,
  pow: 24,
  div: 3,
  sqrt: 3,
  rem: 4,
}

export const cutRules = {
  /** Elements of a local that a block may hold: 16 KiB of f32, what every adapter grants a workgroup. Counted; not measured against others. */
  localElements: 4096,
  /** Operations that a block may spend on one local: about one for each element that it may hold. Not measured. */
  localWork: 4096,
  /** Operations of a lane of hardware on elements that it makes alone: they take less than a launch, which takes two thousand cycles. Counted. */
  laneWork: 128,
  /** Operations of one element of a row that a block may compute whatever its length: less than a load costs. Not measured. */
  localCost: 16,
  /** Operations in all up to which recomputing is cheaper than a launch and a way through memory. Not measured. */
  recompute: 16384,
  /** Operations of an element of a map from which it is worth memory: one call of `exp`, by the costs of `cuts.ts`. Not measured. */
  costOfMap: 12,
  /**
   * Times that a fold is computed in all, up to which each result does it for itself along with a fold of its own over the same elements: a pass over
   * memory costs more than arithmetic on what has been read. Not measured.
   */
  resultsOfFold: 4,
  /** How often each element of a cheap map is asked for, from which it is worth a local. Not measured. */
  readsOfLocal: 16,
  /** How often each element of a row's operand is asked for, from which it has memory: 4 blocks of 128 columns make it again else. Not measured. */
  readsOfBlocks: 512,
  /** How often each element that weights decode to is asked for, from which it has memory: more rows than are computed beside one another. Not measured. */
  readsOfDecoded: 32,
  /** Elements that weights decode to for which there is memory: half a gigabyte in bf16, several times the largest matrix of a layer. Not measured. */
  decodedElements: 2 ** 28,
  /** Rows of a product from which matrix units take it: one row is a fold like others. Counted. */
  rowsOfUnits: 2,
  /** Share of a contraction's elements that is read behind an index of data, from which it has memory. Not measured. */
  shareBehindIndex: 1 / 4,
  /** The same where matrix units take it: they make sixteen elements and more at the cost of one. Not measured. */
  shareBehindIndexOfUnits: 1 / 16,
  /** Operations inside of one another that a kernel's expression may have: whoever walks one does it by recursion. Not measured. */
  depth: 512,
  /**
   * Places at which a kernel computes one tensor for each of its points: the taps of a stencil are fewer, or each its own element. Not measured.
   */
  places: 16,
} as const

export const splitRules = {
  /** Elements that a part is a multiple of, so that vectors start at multiples: two loads of halves. Counted. */
  multiple: 16,
  /** Rows that fold the same elements, from which they fill the device by themselves, with ranges of their own. Not measured. */
  rows: 32,
  /** Elements of a part of a plain fold for each of an online fold, which does so much more for one: 512 are four loads of 32 lanes. Not measured. */
  plainElements: 8,
  /**
   * Elements of a plain sum or maximum that is worth a second kernel, for each of a part of an online fold: the 32,768 from which one block takes
   * longer than the few microseconds of a launch. Measured on an H200: one block summed up 151,936 in 63 µs, where a launch took 5.
   */
  longElements: 512,
  /** Plain folds that one block does at a time: one for each of its subgroups. Counted. */
  foldsOfBlock: 8,
} as const

export const mergeRules = {
  /** Elements of a buffer that is never bound in parts: the bytes of a binding that every adapter grants, of f32. Counted. */
  elementsOfOneBinding: 2 ** 25,
} as const
