// What attention's forward and backward share: where heads lie, and the scores of a block of queries.
#pragma once

#include "attention.h"
#include "attention_panels.h"
#include "products.h"
#include "row_access.h"

namespace mlxffi {

// Queries that are worked on at once: their scores stay in the cache.
inline constexpr int64_t query_block = 64;

// Sizes of (batch, heads, positions, features).
struct AttentionShape {
  int64_t batch, heads, kv_heads, queries, keys, features, value_features;

  explicit AttentionShape(const Arrays& inputs)
      : batch(inputs[0].shape(0)),
        heads(inputs[0].shape(1)),
        kv_heads(inputs[1].shape(1)),
        queries(inputs[0].shape(2)),
        keys(inputs[1].shape(2)),
        features(inputs[0].shape(3)),
        value_features(inputs[2].shape(3)) {}

  // The key-value head, counted over the batch, that serves a head of the queries.
  int64_t kv_of(int64_t head) const {
    return head / heads * kv_heads + head % heads / (heads / kv_heads);
  }
  int64_t blocks() const {
    return (queries + query_block - 1) / query_block;
  }
};

// Some positions of a head, which is counted over the batch.
struct Positions {
  int64_t head, first, count;
};

// The positions of one array's heads as float32 matrices: where they lie, else copied to a thread's scratch.
class Heads {
 public:
  explicit Heads(const mx::array& array);
  // Rows `first` to `first` + `count` of a head, counted over the batch.
  Matrix matrix(int64_t head, int64_t first, int64_t count, std::vector<float>& scratch) const;
  // Whether the positions of a head are equally far apart, and then all of them, as elements of the array.
  bool are_even() const {
    return even_;
  }
  RowBlock block(int64_t head) const;
  RowBlock block(Positions positions) const;
  // Whether these are bfloat16 numbers that the CPU multiplies in pairs.
  bool in_pairs() const {
    return in_pairs_;
  }
  int64_t features() const {
    return rows_.length();
  }

 private:
  RowsOf rows_;
  Widen widen_;
  int64_t positions_, stride_, item_;
  bool even_, direct_, in_pairs_;
};

// Writes positions of heads to a new array of shape (batch, heads, positions, features) that lies in memory as (batch,
// positions, heads, features): what comes after attention wants the heads of a position side by side.
class HeadsTo {
 public:
  explicit HeadsTo(mx::array& array);
  void put(int64_t head, int64_t position, const float* row, float factor) const;

 private:
  char* data_;
  Narrow narrow_;
  int64_t heads_, positions_, features_, item_;
};

// The mask of an attention, where it has one.
class Mask {
 public:
  explicit Mask(const Arrays& inputs, const AttentionOptions& options);
  // The keys that queries up to one see: all behind are masked out.
  int64_t seen(int64_t last_query) const {
    return causal_ ? last_query + 1 + keys_ - queries_ : keys_;
  }
  // Applies the mask to the scores of one query.
  void apply(int64_t head, int64_t query, float* scores, int64_t count, std::vector<char>& bytes, std::vector<float>& numbers) const;
  // Whether a row that had `shift` as its largest score saw no key at all: its scores are constants then.
  bool is_blind(float shift) const {
    return boolean_ && shift == hidden;
  }

 private:
  // As MLX has it: a query that sees nothing attends to all keys alike.
  static constexpr float hidden = std::numeric_limits<float>::lowest();

  bool causal_, boolean_ = false;
  int64_t queries_, keys_;
  std::optional<RowsOf> rows_;
  Widen widen_;
};

// A thread's working memory.
struct AttentionScratch {
  std::vector<float> q, k, v, o, g, scores, cotangents, mask, result;
  std::vector<char> bytes;
  HeadPanels k_panels, v_panels;
};

// The right factor of products with the positions of a head.
class RightHead {
 public:
  // Of `count` positions, for rows of `left`. `panels` and `floats` keep what is made of the head.
  RightHead(const Heads& left, const Heads& right, int64_t head, int64_t count, HeadPanels& panels, std::vector<float>& floats);
  // out[i * HeadPanels::pitch(seen) + j] is scale times the dot product of position i of `rows` and j of the head.
  void multiply(Positions rows, int64_t seen, float scale, std::vector<float>& out, std::vector<float>& scratch) const;

 private:
  const Heads& left_;
  const HeadPanels* panels_ = nullptr;
  Matrix floats_{nullptr, 0};
};

// Masked scores of some queries, for the keys that they see, in scratch.scores.
void scores_of(Positions queries, const RightHead& keys, const Mask& mask, float scale, int64_t seen, AttentionScratch& scratch);

// The gradients of q, k and v, and the mask's if asked for, of inputs q, k, v, [mask], cotangent, output, and the
// rows' shifts and sums.
Arrays attention_gradients(const Arrays& inputs, const AttentionOptions& options, mx::Stream s);

// The attention by MLX's operations.
mx::array composed_attention(const Arrays& inputs, const AttentionOptions& options, mx::Stream s);

} // namespace mlxffi
