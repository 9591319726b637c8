# find_package(mlxc CONFIG) gives the target mlxc::mlxc and, where mlxffi was built with OpenBLAS, mlxc::blas: linked
# too, it puts OpenBLAS in the place of the reference BLAS that MLX's Linux wheels bring.
get_filename_component(_mlxc_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(_mlxc_library "${_mlxc_prefix}/lib/libmlxc${CMAKE_SHARED_LIBRARY_SUFFIX}")
set(_mlxc_blas "${_mlxc_prefix}/lib/libmlxffi_blas${CMAKE_SHARED_LIBRARY_SUFFIX}")

if(NOT TARGET mlxc::mlxc)
  add_library(mlxc::mlxc SHARED IMPORTED)
  set_target_properties(mlxc::mlxc PROPERTIES
    IMPORTED_LOCATION "${_mlxc_library}"
    INTERFACE_LINK_OPTIONS "@LINK@"
    INTERFACE_INCLUDE_DIRECTORIES "${_mlxc_prefix}/@INCLUDE@")
endif()

if(NOT TARGET mlxc::blas AND EXISTS "${_mlxc_blas}")
  add_library(mlxc::blas SHARED IMPORTED)
  set_target_properties(mlxc::blas PROPERTIES
    IMPORTED_LOCATION "${_mlxc_blas}"
    INTERFACE_LINK_OPTIONS "-Wl,--no-as-needed"
    INTERFACE_LINK_LIBRARIES mlxc::mlxc)
endif()

unset(_mlxc_prefix)
unset(_mlxc_library)
unset(_mlxc_blas)
