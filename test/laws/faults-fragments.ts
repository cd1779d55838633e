/** Planted faults of what lanes do together, and of what is under way. Each is a small change of a product's loops, as products.ts makes them. */
import { apply, literal, variable } from "../../compiler/ir/expression.js"
import { atoms, fragmentSize } from "../../compiler/ir/fragments/atoms.js"
import type { Statement } from "../../compiler/ir/loop.js"
import type { Rules } from "./mutate.js"

const lane = variable("lane")
type Of<K extends Statement["kind"]> = Statement & { readonly kind: K }

const only =
  <K extends Statement["kind"]>(kind: K, change: (s: Of<K>) => readonly Statement[] | undefined): Rules["statement"] =>
  (s) =>
    s.kind === kind ? change(s as Of<K>) : undefined

export const fragmentFaults: Readonly<Record<string, Rules>> = {
  "copies waited for one too late": { statement: only("wait", (s) => (s.of === "copies" ? [late(s)] : undefined)) },
  "products waited for one too late": { statement: only("wait", (s) => (s.of === "products" ? [late(s)] : undefined)) },
  "copies that are not a group": { statement: only("commit", (s) => (s.of === "copies" ? [] : undefined)) },
  "products that are not a group": { statement: only("commit", (s) => (s.of === "products" ? [] : undefined)) },
  "missing wait": { statement: only("wait", () => []) },
  "missing barrier": { statement: only("barrier", () => []) },
  "zeros that are forgotten where lanes copy": {
    statement: only("copy", ({ valid, from, ...s }) =>
      valid === undefined
        ? undefined
        : [{ ...s, from: { ...from, offset: apply("select", valid, from.offset, literal(0)) } }],
    ),
  },
  "zeros that are forgotten where lanes store": {
    statement: only("store", (s) => {
      const changed = (x: typeof s.value): typeof s.value =>
        x.kind === "operation" && x.operation === "select" && x.dtype === "f32" ? x.args[1]! : x
      return s.value.kind === "vector" && s.value.args.some((x) => changed(x) !== x)
        ? [{ ...s, value: { ...s.value, args: s.value.args.map(changed) } }]
        : undefined
    }),
  },
  "fill the other way round": { statement: only("fill", (s) => [{ ...s, transposed: !s.transposed }]) },
  "tile the other way round": {
    statement: only("multiply", (s) =>
      "stride" in s.b ? [{ ...s, b: { ...s.b, transposed: !s.b.transposed } }] : undefined,
    ),
  },
  "fragments too near each other": {
    statement: only("fill", (s) => (s.count > 1 ? [{ ...s, step: s.step / 2 }] : undefined)),
  },
  "fragments that are not filled": {
    statement: only("fill", (s) => (s.count > 1 ? [{ ...s, count: s.count - 1 }] : undefined)),
  },
  "rows too near each other": {
    statement: only("fill", (s) => [{ ...s, stride: apply("sub", s.stride, literal(1)) }]),
  },
  "result of another fragment": {
    statement: only("multiply", (s) => {
      const size = fragmentSize(atoms.get(s.atom)!, "c")
      const { offset } = s.c
      return offset.kind === "literal" && offset.value >= size
        ? [{ ...s, c: { ...s.c, offset: literal(offset.value - size) } }]
        : undefined
    }),
  },
  "drain the other way round": { statement: only("drain", (s) => [{ ...s, transposed: !s.transposed }]) },
  "drain of another fragment": {
    statement: only("drain", (s) => {
      const size = fragmentSize(atoms.get(s.atom)!, "c")
      const { offset } = s.from
      return offset.kind === "literal" && offset.value >= size
        ? [{ ...s, from: { ...s.from, offset: literal(offset.value - size) } }]
        : undefined
    }),
  },
  "drain that is missing": { statement: only("drain", () => []) },
  "product that is missing": { statement: only("multiply", () => []) },
  "product by some lanes only": {
    statement: only("multiply", (s) => [
      { kind: "if", condition: apply("lt", lane, literal(atoms.get(s.atom)!.lanes - 1)), body: [s], otherwise: [] },
    ]),
  },
  "slot that does not go on": { statement: only("assign", (s) => (s.name === "slot" ? [] : undefined)) },
  "copies to the slot that is read": { statement: only("assign", (s) => (s.name === "next" ? [] : undefined)) },
  "sum that does not begin at zero": {
    statement: only("store", (s) => (s.array === "of_c" ? [] : undefined)),
  },
}

function late(s: Of<"wait">): Statement {
  return { ...s, groups: s.groups + 1 }
}
