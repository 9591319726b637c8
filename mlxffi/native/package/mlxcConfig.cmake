# find_package(mlxc CONFIG) gives the target mlxc::mlxc.
get_filename_component(prefix "${CMAKE_CURRENT_LIST_DIR}/../../.." ABSOLUTE)

if(NOT TARGET mlxc::mlxc)
  add_library(mlxc::mlxc SHARED IMPORTED)
  set_target_properties(mlxc::mlxc PROPERTIES
    IMPORTED_LOCATION "${prefix}/lib/libmlxc${CMAKE_SHARED_LIBRARY_SUFFIX}"
    INTERFACE_INCLUDE_DIRECTORIES "@INCLUDE@")
endif()
