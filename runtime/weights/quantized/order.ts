/**
 * Which group each column is in, where a tensor says it: GPTQ with act-order.
 *
 * The index is read when the checkpoint is opened, for it may be in order though the config asks for another, and the other way round. Where
 * the columns of one weight are out of order, all weights that have an index are taken to be: layers and experts stay alike.
 */
import { printable } from "../../errors.js"
import type { StoredTensor } from "../checkpoint.js"
import { type GroupOptions, groupFormat } from "../formats/groups.js"
import type { PlaneFill } from "../formats/plane-reader.js"
import { refuse } from "./settings.js"
import { byRows, type QuantizedWeight, type Stored, wordsOf } from "./stored.js"

/** What stands in an index that was made and never filled: columns are in order then. */
const unset = 0xffffffff

/** The groups of columns as an index has them. */
export interface Order {
  readonly isOutOfOrder: boolean
  readonly fill: PlaneFill
}

/**
 * @param size columns of a group, where they are in order
 * @throws WeftError `checkpoint/quantization` for a group that there is not
 */
export async function readOrder(stored: Stored, index: StoredTensor, size: number, groups: number): Promise<Order> {
  const read = async () => {
    const found = await wordsOf(stored, index)
    return found.every((group) => group === unset) ? found.map((_, column) => Math.floor(column / size)) : found
  }
  const found = await read()
  const wrong = found.findIndex((group) => group >= groups)
  if (wrong >= 0) {
    const column = `column ${wrong} into group ${found[wrong]! | 0}`
    refuse(stored.folder, `${printable(index.name)} puts ${column}, and there are ${groups}`)
  }
  return {
    isOutOfOrder: found.some((group, column) => group !== Math.floor(column / size)),
    // Two groups to a word.
    fill: byRows(async (_first, _end, into) => {
      const halves = new Uint16Array(into.buffer, into.byteOffset, into.length / 2).fill(0)
      halves.set(await read())
    }),
  }
}

/** A weight of integers, before it is known whether its columns count as out of order. */
export interface UnorderedWeight extends Omit<QuantizedWeight, "format"> {
  readonly options: Omit<GroupOptions, "ordered">
  readonly order: Order | undefined
}

/** The weights with their formats. */
export function withOrder(weights: readonly UnorderedWeight[]): readonly QuantizedWeight[] {
  const isAny = weights.some(({ order }) => order?.isOutOfOrder)
  return weights.map(({ options, order, fill, ...weight }) => {
    const ordered = isAny && order !== undefined && options.group !== "row"
    const group = order === undefined ? {} : { group: order.fill }
    return { ...weight, format: groupFormat({ ...options, ordered }), fill: { ...fill, ...group } }
  })
}
