/**
 * Products of two matrices on matrix units, drawn at random: y[m, n] = sum over k of a[m, k] · b[n, k].
 *
 *   3 × 5 × 17 by mma.m16n8k16.bf16, 2 × 1 groups of lanes, chunks of 16, copied through a ring of 3
 */
import { atoms, isOpaque } from "../../compiler/ir/fragments/atoms.js"
import type { Choices } from "./choices.js"

export interface Product {
  readonly rows: number
  readonly columns: number
  readonly depth: number
  readonly atom: string
  /** Groups of the atom's lanes along rows and columns of a workgroup, and fragments of each. */
  readonly groups: readonly [number, number]
  readonly fragments: readonly [number, number]
  /** Elements of the sum that are staged at once, and how many such chunks there is room for. */
  readonly chunk: number
  readonly stages: number
  /** Whether the sum's axis is the slower one of a, and of b. */
  readonly turned: readonly [boolean, boolean]
  readonly staging: "copies" | "stores"
  readonly swizzled: boolean
  /** Fragments are filled by lanes together, or by ordinary code. */
  readonly filling: "fill" | "code"
  /** Where a lies for an atom that takes both. */
  readonly left: "shared" | "fragment"
  /** Chunks whose products may be under way while the next are begun, of an asynchronous atom. */
  readonly behind: 0 | 1
  /** Workgroups of the launch at most. */
  readonly launched: number
}

/** A random product of 1 to 48 rows, columns and elements of the sum. */
export function drawProduct(choose: Choices): Product {
  const atom = atoms.get(
    choose.of(["mma.m16n8k16.bf16", "mma.m16n8k16.f16", "wgmma.m64n64k16.bf16", "subgroup.m16n16k16.f16"]),
  )!
  // Many that can be copied several elements at once, and sums of three chunks.
  const extent = () => (choose.chance(50) ? 8 * (1 + choose.below(6)) : 1 + choose.below(48))
  const [rows, columns] = [extent(), extent()]
  const depth = choose.chance(40) ? 33 + choose.below(16) : extent()
  const small = !atom.asynchronous
  const groups = choose.of([
    [1, 1] as const,
    ...(small
      ? ([
          [2, 1],
          [1, 2],
          [2, 2],
        ] as const)
      : []),
  ])
  const left = choose.of(["shared", "fragment"] as const)
  const ring = choose.of([
    [2, 0],
    [3, 0],
    [2, 0],
    [4, 0],
    [3, 1],
    [4, 1],
  ] as const)
  return {
    rows,
    columns,
    depth,
    atom: atom.name,
    groups,
    fragments: small ? [1 + choose.below(2), 1 + choose.below(3)] : [1, 1],
    chunk: choose.of([16, 32]),
    stages: ring[0],
    turned: [choose.chance(40), choose.chance(40)],
    staging: choose.of(["copies", "copies", "stores"]),
    swizzled: choose.chance(50),
    filling: isOpaque(atom.name, "a") ? "fill" : choose.of(["fill", "code"]),
    left,
    behind: small || left === "fragment" ? 0 : ring[1],
    launched: 1 + choose.below(3),
  }
}
