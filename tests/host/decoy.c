/* decoy.c - a library that has nothing of what its name promises. */
extern int decoy_of_the_tests;
int decoy_of_the_tests = 1;
