/**
 * A step of k-means (Lloyd 1957): each point goes to the nearest centroid, argmin_c Σ_d (p[d] − c[d])², and each centroid to the mean of its
 * points; one without points stays.
 * Shows: `outer` and a fold instead of a distance matrix in memory, `argmax`, a mask as a tensor, `dot` over whatever axis is to go.
 */
import { argmax, cast, defineProgram, dot, extent, input, iota, map, min, outer, sum, upTo } from "../dsl/index.js"

export const program = defineProgram({
  inputs: { points: input({ point: upTo(1 << 16), dim: 4 }), centroids: input({ cluster: upTo(256), dim: 4 }) },
  outputs: { nearest: ["point"], moved: ["cluster", "dim"], inertia: [] },
  run({ points, centroids }) {
    const square = outer((p, c) => (p - c) * (p - c), points, centroids)
    const distance = sum(square, "dim")
    const closeness = map((d) => -d, distance)
    const nearest = argmax(closeness, "cluster")
    const cluster = iota("cluster", extent(centroids, "cluster"), 0, "cluster")
    const belongs = outer((a, b) => a === b, nearest, cluster)
    const member = cast(belongs, "f32")
    const total = dot(member, points, "point")
    const moved = map((t, n, old) => (n > 0 ? t / Math.max(n, 1) : old), total, sum(member, "point"), centroids)
    return { nearest, moved, inertia: sum(min(distance, "cluster"), "point") }
  },
})
