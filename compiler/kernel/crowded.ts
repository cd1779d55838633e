/**
 * Tensors that one kernel would compute at many places for each of its points.
 *
 *   x = pad(slice(x)) + pad(slice(x)), twenty times      each step asks for the one before at two places, which asks at four: 2²⁰
 *   x = x + roll(x), a hundred times                     at two, three, four … places: 5,050 additions for each element
 *
 * What is inlined is written out once for each place that it is asked at, so such a program grows faster than its text does, first in the
 * compiler and then on the device. The places are followed from each kernel's own point downwards, and where a tensor has more than
 * `cutRules.places` of them it is cut: below a cut there is one place again. Never are more than that followed.
 */

import { apply, identity, literal, substitute, variable } from "../ir/expression.js"
import type { Expression } from "../ir/nodes.js"
import { prefixAt } from "../ir/tensor/prefix.js"
import { sources } from "../ir/tensor/walk.js"
import type { Tensor } from "../ir/tensor.js"
import type { Coordinates } from "./lower.js"
import { cutRules } from "./rules.js"

/** What there is to do in deciding: the places that were followed. A test counts them. */
export interface Following {
  places: number
}

/**
 * The tensors to cut of a program in `order`, sources first. `roots` are computed by kernels of their own; `memory` says what has memory
 * without any, and `again` whether the elements of a tensor are asked for more often than there are, when `cut` has buffers.
 */
export function crowded(
  order: readonly Tensor[],
  roots: ReadonlySet<Tensor>,
  memory: (t: Tensor) => boolean,
  again: (t: Tensor, cut: ReadonlySet<Tensor>) => boolean,
  following: Following = { places: 0 },
): ReadonlySet<Tensor> {
  const cut = new Set<Tensor>()
  const position = new Map(order.map((t, i) => [t, i] as const))
  for (const owner of [...order].reverse()) {
    if (!roots.has(owner) && !cut.has(owner)) continue
    const root = owner.kind === "update" ? owner.value : owner
    if (memory(root)) continue
    const ends = (t: Tensor) => memory(t) || (t !== root && (roots.has(t) || cut.has(t)))
    const places = new Map([[root, new Map([["", ownPoint(root)]])]])
    for (const t of cone(root, ends).sort((a, b) => position.get(b)! - position.get(a)!)) {
      const here = places.get(t)
      if (here === undefined) continue // only below what is cut by now
      if (here.size > cutRules.places && t !== root && computes(t) && again(t, cut)) {
        cut.add(t)
        continue
      }
      for (const at of here.values())
        for (const [source, point] of asked(t, at)) {
          following.places++
          if (ends(source)) continue
          const known = places.get(source) ?? new Map<string, Coordinates>()
          known.set(source.axes.map((a) => identity(point.get(a.name)!)).join(" "), point)
          places.set(source, known)
        }
      places.delete(t)
    }
  }
  return cut
}

const computes = (t: Tensor): boolean =>
  t.kind === "map" || t.kind === "reduce" || t.kind === "scan" || t.kind === "gather"

const ownPoint = (t: Tensor): Coordinates => new Map(t.axes.map((a) => [a.name, variable(`${a.name}@`)] as const))

/** What the kernel of `root` computes. */
function cone(root: Tensor, ends: (t: Tensor) => boolean): Tensor[] {
  const found = new Set([root])
  for (const t of found) for (const s of sources(t)) if (!ends(s)) found.add(s)
  return [...found]
}

/** Where `t` at one place asks for what it is made of. What data choose is a place of its own. */
function asked(t: Tensor, at: Coordinates): readonly (readonly [Tensor, Coordinates])[] {
  switch (t.kind) {
    case "map":
      return t.args.map((a) => [a, at])
    case "reduce": {
      const inner = new Map(at).set(t.axis, variable(`${t.axis}.${t.args.map(identity).join(".")}`))
      return t.args.map((a) => [a, inner])
    }
    case "scan": {
      const { place } = prefixAt(at.get(t.axis)!, variable(`${t.axis}.${identity(t.arg)}`), t.block)
      return [[t.arg, new Map(at).set(t.axis, place)]]
    }
    case "reindex": {
      const valid = t.valid === undefined ? undefined : substitute(t.valid, at)
      const guarded = (x: Expression) => (valid === undefined ? x : apply("select", valid, x, literal(0)))
      return [[t.arg, new Map([...t.index].map(([axis, x]) => [axis, guarded(substitute(x, at))] as const))]]
    }
    case "gather": {
      const chosen = variable(`${identity(t)} ${t.axes.map((a) => identity(at.get(a.name)!)).join(" ")}`)
      return [
        [t.index, at],
        [t.arg, new Map(at).set(t.axis, chosen)],
      ]
    }
    default:
      return []
  }
}
