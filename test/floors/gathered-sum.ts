/**
 * A weighted sum of rows of a table that numbers pick: y[bag, channel] = Σ_slot weight[bag, slot] · table[row[bag, slot], channel].
 * What must move is each row that is picked, once.
 */
import { at, defineProgram, dot, indexing, input } from "../../dsl/index.js"

export const gatheredSum = (rows: number, bags: number, slots: number, channels: number) =>
  defineProgram({
    inputs: {
      table: input({ row: rows, channel: channels }),
      picked: input({ bag: bags, slot: slots }, "i32"),
      weight: input({ bag: bags, slot: slots }),
    },
    outputs: { y: ["bag", "channel"] },
    run: ({ table, picked, weight }) => ({ y: dot(at(table, "row", indexing(picked, "row")), weight, "slot") }),
  })

export const program = gatheredSum(1 << 19, 1 << 12, 1 << 7, 256)
