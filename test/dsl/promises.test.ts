/** The language's README says of each operation what the compiler's table says, and the table what the operations are tested for. */
import { readFileSync, writeFileSync } from "node:fs"
import { expect, test } from "vitest"
import { type Operation, operation, operations } from "../../compiler/ir/operations.js"
import { promises, promisesTable } from "../../compiler/ir/promises.js"

const file = new URL("../../dsl/README.md", import.meta.url)

/** As the formatter of the repository lays a table out. */
function table(): string {
  const rows = [["operation", "error", "special values"], ...promisesTable()]
  const widths = rows[0]!.map((_, i) => Math.max(...rows.map((r) => [...r[i]!].length)))
  const line = (cells: readonly string[]) =>
    `| ${cells.map((c, i) => c + " ".repeat(widths[i]! - [...c].length)).join(" | ")} |`
  const [head, ...body] = rows
  return [line(head!), line(widths.map((w) => "-".repeat(w))), ...body.map(line)].join("\n")
}

test("the table of the README is the compiler's (WEFT_WRITE=1 writes it)", () => {
  const text = readFileSync(file, "utf8")
  const [before, after] = [text.split("<!-- promises -->")[0]!, text.split("<!-- end -->")[1]!]
  const wanted = `${before}<!-- promises -->\n\n${table()}\n\n<!-- end -->${after}`
  if (process.env.WEFT_WRITE === "1") writeFileSync(file, wanted)
  expect(readFileSync(file, "utf8")).toBe(wanted)
})

test("the errors are those that the devices are tested for", () => {
  for (const [name, { error }] of Object.entries(promises)) {
    const { error: tested } = operation(name as Operation)
    if (error === "exact") expect(tested, name).toBeUndefined()
    else if ("units" in error) expect(tested, name).toBe(error.units)
    else expect(error.absolute, name).toBe(1e-6)
  }
})

/** Written with others, by the compiler itself, or said elsewhere in the README. */
const others =
  "le gt ge and or not bitand bitor bitxor bitnot shl shr floordiv floormod round fromBits half angle isNaN looseMax exp2 dot2"

test("no operation that authors write is left out", () => {
  const known = new Set([...Object.keys(promises), ...others.split(" ")])
  expect(Object.keys(operations).filter((name) => !known.has(name))).toEqual([])
})
