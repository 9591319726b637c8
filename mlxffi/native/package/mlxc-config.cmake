# find_package(mlxc CONFIG) gives the target mlxc::mlxc. find_package(MLXC CONFIG), as projects written for mlx-c have it,
# reads this too: the target mlxc, MLXC_LIBRARIES and MLXC_INCLUDE_DIRS. (mlxc::blas, which projects linked beside
# mlxc::mlxc to get OpenBLAS, is the same: the library brings it.)
get_filename_component(_mlxc_prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)
set(_mlxc_library "${_mlxc_prefix}/lib/libmlxc${CMAKE_SHARED_LIBRARY_SUFFIX}")

if(NOT TARGET mlxc::mlxc)
  add_library(mlxc::mlxc SHARED IMPORTED)
  set_target_properties(mlxc::mlxc PROPERTIES
    IMPORTED_LOCATION "${_mlxc_library}"
    INTERFACE_LINK_OPTIONS "@LINK@"
    INTERFACE_INCLUDE_DIRECTORIES "${_mlxc_prefix}/@INCLUDE@")
endif()

foreach(_mlxc_name mlxc mlxc::blas)
  if(NOT TARGET ${_mlxc_name})
    add_library(${_mlxc_name} INTERFACE IMPORTED)
    set_target_properties(${_mlxc_name} PROPERTIES INTERFACE_LINK_LIBRARIES mlxc::mlxc)
  endif()
endforeach()

set(MLXC_LIBRARIES mlxc::mlxc)
set(MLXC_INCLUDE_DIRS "${_mlxc_prefix}/@INCLUDE@")

unset(_mlxc_name)
unset(_mlxc_prefix)
unset(_mlxc_library)
