/**
 * Rows that data chooses: members of a stack of weights of which each token picks a few. Random weights measure what trained ones do only when
 * the choices are spread about evenly.
 *
 *     48 choices of 8 among 128, 64 tokens: 125.9 distinct on the average (even choices: 125.9), 121 at least
 *
 * The choices are read where a launch that binds a stack reads the integers that an earlier one has made.
 */
import type { Artifact } from "../../runtime/artifact.js"
import type { Session, WatchPoint } from "../../runtime/session.js"

export interface Chosen {
  /** Places in a step where members are chosen. */
  readonly places: number
  /** Members of a stack, and how many of them a token picks. */
  readonly members: number
  readonly picked: number
  readonly tokens: number
  /** Members that any of the tokens has picked: the average of the places, and the least of them. */
  readonly distinct: number
  readonly leastDistinct: number
  /** What is expected of choices that are independent and even. */
  readonly evenDistinct: number
}

interface Place extends WatchPoint {
  readonly members: number
}

/** Where a step makes the integers by which later launches pick members of stacks. */
function placesOf({ entries, buffers, kernels, weights }: Artifact): readonly Place[] {
  const tensors = new Map<number, Set<string>>()
  for (const { buffer, tensor } of weights) tensors.set(buffer, (tensors.get(buffer) ?? new Set()).add(tensor))
  const { launches } = entries.step!
  const found = new Map<number, Place>()
  for (const [i, launch] of launches.entries()) {
    const members = Math.max(...launch.buffers.map((b) => tensors.get(b)?.size ?? 0))
    if (members < 2) continue
    for (const [j, b] of launch.buffers.entries()) {
      if (buffers[b]!.storage !== "i32" || buffers[b]!.role !== "scratch") continue
      if (kernels[launch.kernel]!.bindings[j]!.access !== "read") continue
      const writes = (n: number) =>
        launches[n]!.buffers.findIndex(
          (other, k) => other === b && kernels[launches[n]!.kernel]!.bindings[k]!.access !== "read",
        )
      let maker = i - 1
      while (maker >= 0 && writes(maker) < 0) maker--
      if (maker >= 0) found.set(maker, { launch: maker, binding: writes(maker), members })
    }
  }
  return [...found.values()].sort((a, b) => a.launch - b.launch)
}

/** Which members are picked for so many tokens, one after the other; undefined where none is, or where kernels choose inside of themselves. */
export async function chosenMembers(session: Session, tokens = 64): Promise<Chosen | undefined> {
  const { artifact } = session
  const places = placesOf(artifact)
  if (places.length === 0 || artifact.model === undefined) return undefined
  const { vocabulary, context } = artifact.model
  const look = session.watch("step", places)
  const used = places.map(() => new Set<number>())
  session.begin()
  const count = Math.min(tokens, context)
  let picked = 0
  for (let past = 0; past < count; past++) {
    session.write("states.token", new Uint8Array(Int32Array.of((past * 7919 + 13) % vocabulary).buffer))
    for (const [i, bytes] of (await look({ past, seq: 1 })).entries()) {
      const members = new Int32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength >> 2)
      picked = Math.max(picked, new Set(members).size)
      for (const member of members) used[i]!.add(member)
    }
  }
  session.begin()
  const distinct = used.map((set) => set.size)
  const members = Math.max(...places.map((p) => p.members))
  return {
    places: places.length,
    members,
    picked,
    tokens: count,
    distinct: distinct.reduce((a, b) => a + b) / distinct.length,
    leastDistinct: Math.min(...distinct),
    evenDistinct: members * (1 - (1 - picked / members) ** count),
  }
}

/** Choices that are as spread as this share of even ones measure what those of a trained model do. */
const spreadEnough = 0.8

export function chosenText({ places, members, picked, tokens, distinct, leastDistinct, evenDistinct }: Chosen): string {
  const uneven =
    distinct < spreadEnough * evenDistinct ? "; far from even: fewer weights are read than a trained model would" : ""
  return `${places} choices of ${picked} among ${members}, ${tokens} tokens: ${distinct.toFixed(1)} distinct on the average (even choices: ${evenDistinct.toFixed(1)}), ${leastDistinct} at least${uneven}`
}
