/** Words that a name in WGSL may not be: the language's own, those that it reserves, and those that the printed text uses. */
export const reserved: ReadonlySet<string> = new Set(
  `alias array asm atomic bitcast bool break case const const_assert continue continuing default diagnostic discard do else enable
  enum f16 f32 false fn for function handle i32 if in inout is lane let loop main mat2x2 mat3x3 mat4x4 mod module move mut mutable
  namespace new nil null override package private ptr pub public read read_write readonly ref requires return self sizeof static
  storage struct super switch symbols target texture this throw true try type typedef u32 uniform unsafe using var vec2 vec3 vec4
  virtual void volatile where while workgroup workgroups workgroup_id workgroup_count local_index write yield
  abs acos all any as async await catch class clamp constexpr cos cosh cross delete dot exp exp2 export extends extern external
  filter final finally floor fma fract friend from get global goto groupshared highp impl implements import inline instanceof
  interface layout length log log2 lowp macro match max mediump meta min mix module noexcept norm not null nullptr of operator out
  partition pass patch pow precise precision premerge priv process protected register regardless require resource restrict
  round sampler select set shared sign signed sin sizeof smooth snorm sqrt static_assert static_cast std step subroutine tan tanh
  template trait transpose trunc typename typeof union unless unorm use varying vec wgsl writeonly zero ceil floorDivide floorModulo
  toSigned toUnsigned angle remainder larger smaller bounded infinity minusInfinity notANumber minusZero packBf16 packF16 halfBits bf16Bits widenBf16 widenF16 workgroupBarrier storageBarrier subgroupShuffleXor
  subgroup subgroup_id subgroup_matrix_left subgroup_matrix_right subgroup_matrix_result subgroupMatrixLoad subgroupMatrixStore
  subgroupMatrixMultiplyAccumulate atomicAdd atomicMax atomicMin atomicLoad atomicStore coherent column_major common compile compile_fragment become auto
  NULL Self abstract active alignas alignof co_await co_return co_yield concept const_cast crate debugger decltype demote
  demote_to_helper do dynamic_cast explicit fallthrough fxgroup final attribute binding_array cbuffer centroid pixelfragment
  mutable nointerpolation noperspective reinterpret_cast row_major subtract unused unique static thread_local`
    .split(/\s+/)
    .filter((word) => word !== ""),
)
