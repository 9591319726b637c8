// Checks that MLX leaves out: without them the call would crash, hang or corrupt memory.
//
// Most guards give their argument back, so that a row of the table reads as the call with guards around what they
// check. None evaluates anything.
#pragma once

#include "convert.h"

namespace mlxc {

// --- numbers and lists ---

int positive(int value, const char* argument);
std::optional<int> positive(std::optional<int> value, const char* argument);
int not_negative(int value, const char* argument);
std::optional<int> not_negative(std::optional<int> value, const char* argument);

// The length of a C array: one that no program means is a negative one in disguise.
size_t length(size_t size, const char* argument);

// A shape: sizes of 0 or more, whose product can be counted.
mx::Shape extents(mx::Shape shape, const char* argument);

// A shape with at most one size to be deduced, which sizes of 0 beside it would leave open.
mx::Shape deducible(mx::Shape shape);

// The axes of an array, each in range.
std::vector<int> axes_of(const mx::array& a, std::vector<int> axes, const char* argument);

// The subscripts of an einsum: MLX has 52 letters for labels and the axes of "...", and counts all different characters
// against them.
std::string few_labels(std::string subscripts, const std::vector<mx::array>& operands);

// --- convolutions ---

// How the window of a convolution moves, each list for all axes or axis by axis.
struct Window {
  std::vector<int> stride;
  std::vector<int> padding_lo;
  std::vector<int> padding_hi;
  std::vector<int> kernel_dilation;
  std::vector<int> input_dilation;
};

// The weights of a convolution: with elements, and such that the sizes that MLX computes as int fit one.
const mx::array& weights(const mx::array& weight, const mx::array& input, const Window& window);

// --- slices ---

// The steps of a slice of `a`. A step past the end of an axis takes one element, as the size of that axis does.
mx::Shape steps(const mx::array& a, mx::Shape strides);

// The update of a block at a position that is not known yet, which fits into `src` somewhere.
const mx::array& fitting(const mx::array& update, const mx::array& src);

// The updates of a scatter into `a`: blocks with elements.
const mx::array& blocks(const mx::array& updates, const mx::array& a);

// The values of a masked scatter: at least one where there are places for them.
const mx::array& values_for(const mx::array& mask, const mx::array& src);

// Indices into an axis of `a`: none where that axis has no elements.
const mx::array& indices_into(const mx::array& a, const mx::array& indices, int axis);

// --- arrays ---

const Arrays& not_empty(const Arrays& arrays, const char* argument);
const mx::array& with_elements(const mx::array& a, const char* argument);

// Where the last axis is counted in units of which `from` are `to` of its own: MLX does so in an int, past whose end it
// begins again.
const mx::array& rescalable(const mx::array& a, const char* argument, int from, int to);

// Packed matrices, or such as are to be packed: with elements, and the bits of a row are an int.
const mx::array& packable(const mx::array& w, const char* argument);

// Matrices, in the last two axes, of at least one row and column.
const mx::array& matrices(const mx::array& a, const char* argument);

// The right matrix of a product: with elements, and as many rows as `a` has columns.
const mx::array& right_matrix(const mx::array& b, const mx::array& a);

const mx::array& one_element(const mx::array& a, const char* argument);

// An array without elements in row-major order: MLX reduces another one by strides that lead nowhere.
mx::array dense(const mx::array& a, mx::StreamOrDevice s);

// How a matrix is packed; what is left out follows from the mode.
struct Packing {
  std::optional<int> group_size;
  std::optional<int> bits;
  std::string mode;
};

// The scales of a matrix: needed where it is packed, and then one for each group of a row.
const std::optional<mx::array>& scales_of(const mx::array& w, const std::optional<mx::array>& scales, const Packing& packing, const char* argument);

// Rows of a length for which there is a Hadamard matrix: m * 2^k with m 1, 12, 20 or 28.
const mx::array& hadamard_rows(const mx::array& a);

mx::array diff(const mx::array& a, int n, int axis, mx::StreamOrDevice s);
mx::array trace(const mx::array& a, int offset, int axis1, int axis2, mx::Dtype dtype, mx::StreamOrDevice s);

// --- evaluation ---

// A task that fails on a worker thread can take others with it that MLX still counts as running, and past ten of those
// every evaluation waits for ever. Too low a count, as it may be while other threads evaluate, does no harm.
void forget_lost_tasks();

template <class Call>
auto evaluating(Call&& call) {
  try {
    return call();
  } catch (const std::exception&) {
    forget_lost_tasks();
    throw;
  }
}

// --- devices and files ---

// A device that this process has.
mx::Device existing(mx::Device device, const char* argument);
mx::ThreadLocalStream existing(mx::ThreadLocalStream stream, const char* argument);

// Reads or writes a file; an error that does not name the file is completed with its name.
template <class Call>
auto with_file(const std::string& file, Call&& call) {
  try {
    return evaluating(call);
  } catch (const std::logic_error&) {
    throw;
  } catch (const std::runtime_error& error) {
    std::string text = error.what();
    throw std::runtime_error(text.find(file) == std::string::npos ? text + " (file " + file + ")" : text);
  }
}

} // namespace mlxc
