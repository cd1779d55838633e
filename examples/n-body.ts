/**
 * Bodies under gravity: a_i = Σ_j m_j · (p_j − p_i) / (|p_j − p_i|² + ε²)^(3/2), then v += a·dt and p += v·dt (symplectic Euler), 8 steps a run.
 * Shows: `rename` lets a tensor meet itself, all pairs live in no memory, and a step takes and gives a tree of tensors.
 */
import { call, defineProgram, dot, input, map, outer, rename, sum, type Tensor, upTo } from "../dsl/index.js"

const [dt, softening] = [0.01, 0.05]

type Bodies = { readonly position: Tensor<"body" | "dim">; readonly velocity: Tensor<"body" | "dim"> }

function step({ position, velocity }: Bodies, mass: Tensor<"body">): Bodies {
  const offset = outer((there, here) => there - here, rename(position, "body", "other"), position)
  const squares = map((o) => o * o, offset)
  const distance = map((s) => Math.sqrt(s + softening * softening), sum(squares, "dim"))
  const pull = map((m, r) => m / (r * r * r), rename(mass, "body", "other"), distance)
  const faster = map((v, a) => v + dt * a, velocity, dot(offset, pull, "other"))
  return { position: map((p, v) => p + dt * v, position, faster), velocity: faster }
}

const body = upTo(4096)
export const program = defineProgram({
  inputs: { mass: input({ body }), position: input({ body, dim: 3 }), velocity: input({ body, dim: 3 }) },
  outputs: { position: ["body", "dim"], velocity: ["body", "dim"] },
  run({ mass, ...bodies }) {
    let now: Bodies = bodies
    for (let n = 0; n < 8; n++) now = call(step, now, mass)
    return now
  },
})
